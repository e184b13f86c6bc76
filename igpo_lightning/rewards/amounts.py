"""Amounts: formulas with or without a unit, numbers in words, numbers of a base."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import takewhile

from igpo_lightning.rewards.expressions import tree_of
from igpo_lightning.rewards.tokens import Token
from igpo_lightning.rewards.trees import Tree, names, proper
from igpo_lightning.rewards.unit_names import CURRENCY, MONEY, SYMBOLS, scale_of, unit_name
from igpo_lightning.rewards.units import Unit, read_unit
from igpo_lightning.rewards.values import exact
from igpo_lightning.rewards.words import NUMBER_WORDS, SCALES, spelled

Tokens = Sequence[Token]
_SUFFIX_TOKENS = 24
_BASES = {"binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16}


@dataclass(frozen=True)
class Amount:
    """A formula and what it counts.

    Attributes:
        tree: Its value.
        unit: Its unit; None if it has none.
        text: How the number was written, where that decides (decimals).
        base: The base of its digits, if one is named; ``text`` has the digits then.
        loose: It was understood with some freedom, which a gold answer is not given: a lone letter was taken
            for a unit, or a sentence stands around it.
    """

    tree: Tree
    unit: Unit | None = None
    text: str = ""
    base: int | None = None
    loose: bool = False


def amounts(tokens: Tokens) -> Iterator[Amount]:
    """Every reading of ``tokens`` as one amount."""
    if (based := _based(tokens)) is not None:
        yield based
        return
    currency, rest = _currency(_once(tokens))
    text = "".join(token.text for token in rest)
    if (tree := tree_of(rest)) is not None:
        yield Amount(tree, currency, text)
    if currency is None and (word := _spelled(tokens)) is not None:
        yield word
    for cut in _cuts(rest):
        prefix, suffix = rest[:cut], rest[cut:]
        scales = list(takewhile(lambda token: token.kind == "word" and token.text.lower() in SCALES, suffix))
        counted = [token.text for token in suffix[len(scales) :]]
        unit = read_unit(counted) if counted else currency
        tree = None if counted and unit is None else _scaled(prefix, scales)
        loose = not any(t.upright or t.kind == "word" or t.text in SYMBOLS for t in suffix)
        if tree is not None and (not loose or _is_numeral(tree)):
            digits = "" if scales else "".join(token.text for token in prefix)
            yield Amount(tree, _merged(unit, currency), digits, loose=loose)
            return


def _once(tokens: Tokens) -> Tokens:
    """5 (five) as 5."""
    opening = next((at for at, token in enumerate(tokens) if token.text == "("), 0)
    if not opening or tokens[-1].text != ")":
        return tokens
    value, tree = spelled(_plain_words(tokens[opening + 1 : -1])), tree_of(tokens[:opening])
    return tokens[:opening] if value is not None and tree is not None and exact(tree) == value else tokens


def combined(pieces: Sequence[Sequence[object]]) -> list[Amount]:
    """5 ft 6 in as one amount, in each of its units; none if ``pieces``, given by readings, are no such."""
    found: list[tuple[Amount, str]] = []
    for readings in pieces:
        measured = (node for node in readings if isinstance(node, Amount) and node.unit is not None)
        piece = next(measured, None)
        if piece is None or piece.unit is None or len(piece.unit.powers) != 1 or names(piece.tree):
            return []
        [(name, power)] = piece.unit.powers
        falls = scale_of(name, found[-1][1]) if found else Fraction(0)
        if power != 1 or falls is None or falls >= 1:
            return []
        found.append((piece, name))
    if len(found) < 2 or all(piece.loose for piece, _ in found):
        return []
    return [Amount(_total(found, name), piece.unit) for piece, name in found]


def _total(found: Sequence[tuple[Amount, str]], unit: str) -> Tree:
    scaled = ((piece.tree, scale_of(name, unit)) for piece, name in found)
    return ("add", *(("mul", tree, ("number", factor)) for tree, factor in scaled))


def _cuts(tokens: Tokens) -> Iterator[int]:
    """Where a unit may begin, the longest one first."""
    for cut in range(max(1, len(tokens) - _SUFFIX_TOKENS), len(tokens)):
        token = tokens[cut]
        starts = (
            token.kind == "word"
            or token.text in SYMBOLS
            or token.text in ("/", "(", "[", "{", "-", "\\frac", "\\cdot")
        )
        if starts or (token.kind == "name" and (token.spaced or token.upright)):
            yield cut


def _scaled(prefix: Tokens, scales: Tokens) -> Tree | None:
    """The value of a number and the scale words after it."""
    tree = tree_of(prefix)
    if tree is None and prefix:
        word = spelled(_plain_words(prefix))
        tree = None if word is None else ("number", word)
    for scale in scales:
        tree = tree and ("mul", tree, ("number", Fraction(SCALES[scale.text.lower()])))
    return tree


def _is_numeral(tree: Tree) -> bool:
    """True for a number, one times a power of ten, a quotient of numbers, and a mixed number."""
    if tree[0] in ("mul", "div", "neg"):
        return all(map(_is_numeral, tree[1:]))
    mixed = tree[0] == "add" and tree[1][0] == "number" and tree[2][0] == "div" and proper(tree[2])
    return tree[0] == "number" or mixed or (tree[0] == "pow" and exact(tree) is not None)


def _currency(tokens: Tokens) -> tuple[Unit | None, Tokens]:
    """(currency, tokens without it) of "$5", "-$5" and "USD 5"."""
    for at, token in enumerate(tokens[:3]):
        unit = unit_name(token.text) if at == 0 and token.kind == "word" else None
        named = unit in ("dollar", "euro") or (unit in MONEY and token.text.isupper())
        if token.text in CURRENCY or (named and len(tokens) > 1):
            name = SYMBOLS.get(token.text) or unit_name(token.text) or token.text
            return Unit(((name, 1),)), [*tokens[:at], *tokens[at + 1 :]]
        if token.text not in ("-", "+", "("):
            break
    return None, tokens


def _merged(unit: Unit | None, currency: Unit | None) -> Unit | None:
    """$5 per week and 5 dollars per week are one."""
    if unit is None or currency is None:
        return unit or currency
    powers = dict(unit.powers)
    for name, power in currency.powers:
        powers.setdefault(name, power)
    return replace(unit, powers=tuple(sorted(powers.items())))


def _spelled(tokens: Tokens) -> Amount | None:
    """A number in words, with its unit; "negative 5", too."""
    if tokens[0].kind == "word" and tokens[0].text.lower() in ("negative", "minus") and len(tokens) > 1:
        inner = next(amounts(tokens[1:]), None)
        return None if inner is None else replace(inner, tree=("neg", inner.tree), text="")
    if tokens[0].kind != "word":
        return None
    words = _plain_words(tokens)
    for cut in range(len(words), 0, -1):
        value = spelled(words[:cut])
        if value is None:
            continue
        rest = words[cut:]
        unit = read_unit(rest) if rest else None
        if rest and unit is None:
            continue
        return Amount(("number", value), unit)
    return None


def _plain_words(tokens: Tokens) -> list[str]:
    """Lower-case words, hyphens taken as spaces; none if something else stands among them."""
    words: list[str] = []
    for token in tokens:
        if token.kind == "word" or (token.kind == "name" and token.text == "a"):
            pieces = token.text.lower().split("-")
            words += pieces if all(piece in NUMBER_WORDS for piece in pieces) else [token.text]
        elif token.text != "-":
            return []
    return words


def _based(tokens: Tokens) -> Amount | None:
    """``2516_8``, ``2516_{\\text{eight}}`` and "2516 base 8"."""
    texts = [token.text for token in tokens if token.text not in ("{", "}", "(", ")")]
    sign, texts = ("-", texts[1:]) if texts[:1] == ["-"] else ("", texts)
    if len(texts) > 2 and texts[-2] == "base":
        before = texts[:-3] if texts[-3] == "in" else texts[:-2]
        texts = [*before, "_", texts[-1]]
    if len(texts) < 3 or texts[-2] != "_":
        return None
    digits = "".join(texts[:-2])
    named = texts[-1].lower()
    base = _BASES.get(named) or spelled([named]) or (int(named) if named.isdigit() and len(named) < 3 else 0)
    if not 2 <= base <= 36 or not digits.isalnum() or len(digits) > 200:
        return None
    # Letters alone are digits if two or more are capitals: x_12 is a name, A_12 an entry of a matrix.
    if not any(character.isdigit() for character in digits) and not (digits.isupper() and len(digits) > 1):
        return None
    if any(int(digit, 36) >= base for digit in digits):
        return None
    return Amount(("number", Fraction(0)), None, sign + digits.upper(), int(base))

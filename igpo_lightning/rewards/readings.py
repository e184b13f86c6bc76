"""Readings of an answer: its text as nodes, several where it can be read in more than one way.

Two answers are equal if a reading of one equals a reading of the other. A text of which a part is not
understood has no reading at all; it equals only what is written in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from igpo_lightning.rewards import layout
from igpo_lightning.rewards.amounts import Amount, amounts, combined
from igpo_lightning.rewards.dates import day_of
from igpo_lightning.rewards.expressions import tree_of
from igpo_lightning.rewards.layout import Tokens
from igpo_lightning.rewards.nodes import Items, Node, Option, Relation, Remainder, Union, Words
from igpo_lightning.rewards.phrases import meaning_of
from igpo_lightning.rewards.quantities import computed, congruent, mixed, modulus_of, ratio_of
from igpo_lightning.rewards.solving import name_of
from igpo_lightning.rewards.tokens import Token, tokenize
from igpo_lightning.rewards.trees import names
from igpo_lightning.rewards.units import OTHER_MEANING
from igpo_lightning.rewards.values import same
from igpo_lightning.rewards.vocabulary import listed

_MOST_ITEMS = 60
_DEPTH = 8
_LABELS = listed(
    "answer answers approximately about roughly around exactly only just approx total final always positive "
    "the a an is of"
)
_SENTENCE_WORDS = 10
_REMARKS = frozenset(["rounded", "rounding"])
_CHANGING = OTHER_MEANING - {"is", "are", "was", "to", "from", "for", "equals"} | listed(
    "at least most more less fewer than under over below above up twice double triple thrice by about "
    "between increase decrease change until before after option choice step part chapter day number no"
)


def readings(text: str) -> tuple[Node, ...]:
    """All readings of ``text``, which :func:`notation.plain` has made; none if it is not understood."""
    tokens = _tokens(text, thousands=True)
    apart = _tokens(text, thousands=False) if "," in text else tokens
    found = list(_read(tokens, 0))
    if all(isinstance(node, Words) for node in found):
        found += _sentence(tokens)
    if len(apart) != len(tokens):  # 1,234 may be a pair
        found += _read(apart, 0)
    return tuple(found)


def _tokens(text: str, thousands: bool) -> list[Token]:
    """Tokens of ``text``, brackets in pairs; none if it has too many, or other brackets."""
    tokens = tokenize(text, thousands)
    if tokens and layout.option(tokens) and tokens[1:2] and tokens[1].text == ")":  # B) 7
        tokens = [tokens[0], tokens[1]._replace(text=":"), *tokens[2:]]
    return _without_remark(tokens) if tokens and layout.balanced(tokens) else []


def _without_remark(tokens: list[Token]) -> list[Token]:
    """Without "(rounded to two decimal places)" at the end."""
    for at in range(1, len(tokens)):
        if tokens[at].kind == "word" and tokens[at].text.lower() in _REMARKS:
            end = at
            while end > 1 and (tokens[end - 1].kind == "sign" and tokens[end - 1].text in "(,"):
                end -= 1
            worded = all(t.kind in ("word", "name", "number") or t.text in ")." for t in tokens[at:])
            return tokens[:end] if worded else tokens
    return tokens


def _read(tokens: Tokens, depth: int) -> Iterator[Node]:
    tokens = _trimmed(tokens)
    if not tokens or depth > _DEPTH or any(t.text in layout.ARROWS and t.kind == "sign" for t in tokens):
        return
    whole = list(amounts(tokens))
    yield from whole
    chosen = layout.option(tokens)
    if chosen is not None:
        yield from _option(*chosen, depth)
    items, joiners = layout.separate(tokens)
    if len(items) > 1 or (items and len(items[0]) != len(tokens)):
        yield from _list(items, joiners, depth)
    elif chosen is None and (labelled := _after_label(tokens)) is not None:
        yield from _read(labelled, depth + 1)
    elif chosen is None or not layout.split_at(tokens, layout.RELATIONS)[1]:  # not both (A) and x = 5
        yield from _single(tokens, depth, bool(whole))


def _read_each(pieces: Sequence[Tokens], depth: int) -> tuple[tuple[Node, ...], ...]:
    return tuple(tuple(_read(piece, depth + 1)) for piece in pieces)


def _option(letter: str, beside: Tokens, depth: int) -> Iterator[Option]:
    """A letter and what stands beside it, unless that names another letter or an alternative."""
    hedged = bool(layout.separate(beside)[1]) or (beside and beside[0].text in ",;")
    rest = () if hedged or layout.marks_option(beside) else tuple(_read(beside, depth + 1))
    if not beside or (rest and not any(map(_says_letter, rest))):
        yield Option(letter, rest)


def _says_letter(node: Node) -> bool:
    """True if the letter of an option is what ``node`` says: B, {B}, B + 0, x = B, or 6 and B."""
    if isinstance(node, Amount):
        [*found] = names(node.tree)
        return len(found) == 1 and found[0] in layout.OPTION_LETTERS and same(node.tree, ("name", found[0]))
    if isinstance(node, Relation):
        return any(map(_says_letter, node.sides[-1])) and None not in map(name_of, node.sides)
    if isinstance(node, Items) and node.shape in ("list", "set"):
        return any(_says_letter(inner) for item in node.items for inner in item)
    return isinstance(node, Option)


def _single(tokens: Tokens, depth: int, is_amount: bool) -> Iterator[Node]:
    """Readings of what no separator divides, amounts left out."""
    for signs, make in ((layout.RELATIONS, _relation), (frozenset(["\\cup", "\\setminus"]), _union)):
        pieces, found = layout.split_at(tokens, signs)
        if found:
            yield from make(pieces, found, depth)
            return
    if (brackets := layout.enclosed(tokens)) is not None:
        yield from _bracket(brackets, tokens, depth)
    elif (modulo := modulus_of(tokens)) is not None:
        value, modulus = modulo
        if inner := tuple(_read(value, depth + 1)):
            yield Remainder(inner, modulus)
    elif (ratio := ratio_of(tokens)) is not None:
        yield ratio
    else:
        worded = any(token.kind == "word" for token in tokens)
        quantity = computed(tokens) if worded or not is_amount else None
        if quantity is not None:
            yield quantity
        elif not is_amount:
            yield from mixed(tokens)
        if not is_amount and (matrix := _multiple(tokens, depth)) is not None:
            yield matrix
        if words := _words(tokens):
            yield Words(words)


def _sentence(tokens: Tokens) -> Iterator[Node]:
    """Natalia sold 72 clips: words without a meaning of their own, and then an amount."""
    tokens = _without_article(tokens)
    at = next((at for at, token in enumerate(tokens) if token.kind != "word"), 0)
    said = [token.text.lower() for token in tokens[:at]]
    if 1 < at <= _SENTENCE_WORDS and not _CHANGING & set(said):
        yield from (replace(amount, loose=True) for amount in amounts(tokens[at:]))


def _list(found: list[Tokens], joiners: set[str], depth: int) -> Iterator[Node]:
    if len(found) > _MOST_ITEMS:
        return
    items = _read_each(found, depth)
    if all(items):
        first = items[0][0]
        yield Items("list", items) if len(items) > 1 else first
        yield from combined(items)
        if joiners == {"or"}:
            yield Union(items, "\\cup")


def _relation(sides: list[Tokens], signs: list[str], depth: int) -> Iterator[Node]:
    if not sides[0] and signs[0] in ("\\approx", "="):  # what stood there was a label
        sides, signs = sides[1:], signs[1:]
        if not signs:
            yield from _read(sides[0], depth + 1)
            return
    last, modulus = modulus_of(sides[-1]) or (sides[-1], None)
    read_sides = _read_each([*sides[:-1], last], depth)
    if not all(read_sides):
        return
    if modulus is not None and not all(congruent(side, read_sides[-1], modulus) for side in read_sides[:-1]):
        return
    if signs == ["\\equiv"] or modulus is not None:
        yield Remainder(read_sides[-1], modulus) if modulus is not None else Relation(read_sides, ("=",))
    else:
        yield Relation(read_sides, tuple(signs))


def _union(pieces: list[Tokens], signs: list[str], depth: int) -> Iterator[Node]:
    sets = _read_each(pieces, depth)
    if all(sets) and len(set(signs)) == 1 and len(sets) <= _MOST_ITEMS:
        yield Union(sets, signs[0])


def _bracket(brackets: tuple[str, str], tokens: Tokens, depth: int) -> Iterator[Node]:
    opening, closing = brackets
    inner = tokens[1:-1]
    if opening == "\\open":
        lines = layout.rows(inner)
        cells = _read_each([cell for line in lines for cell in line], depth)
        if cells and all(cells) and len({len(line) for line in lines}) == 1 and len(cells) <= _MOST_ITEMS:
            yield Items("matrix", cells, len(lines[0]))
        return
    if opening == "\\{" and (condition := _condition(inner)) is not None:
        yield from _read(condition, depth + 1)
        return
    items, _ = layout.separate(inner)
    if opening == "(" and closing == ")" and len(items) == 1:
        yield from _read(inner, depth + 1)
        return
    shape = "set" if opening == "\\{" else opening + closing
    found = _read_each(items, depth)
    if len(found) == 1 and found[0] and isinstance(found[0][0], Items) and found[0][0].shape == "matrix":
        yield found[0][0]  # brackets around an array
    elif all(found) and len(found) <= _MOST_ITEMS and (found or shape == "set"):
        yield Items(shape, found)


def _condition(tokens: Tokens) -> Tokens | None:
    """x > 3 of {x | x > 3} and {x ∈ ℝ : x > 3}."""
    sides, _ = layout.split_at(tokens, {"|", ":"})
    if len(sides) != 2 or not sides[0] or sides[0][0].kind != "name":
        return None
    return sides[1] if len(sides[0]) == 1 or sides[0][1].text == "\\in" else None


def _multiple(tokens: Tokens, depth: int) -> Items | None:
    """A number times a matrix, as the matrix."""
    at = next((at for at, token in enumerate(tokens) if token.text == "\\open"), 0)
    factor = tree_of(tokens[:at])
    if factor is None or layout.enclosed(tokens[at:]) is None:
        return None
    matrix = next(_bracket(("\\open", "\\shut"), tokens[at:], depth), None)
    if not isinstance(matrix, Items):
        return None
    amounts_ = [cell[0] for cell in matrix.items if isinstance(cell[0], Amount)]
    if len(amounts_) < len(matrix.items):
        return None
    cells = tuple((Amount(("mul", factor, amount.tree)),) for amount in amounts_)
    return Items("matrix", cells, matrix.width)


def _after_label(tokens: Tokens) -> Tokens | None:
    """Return what follows "Area:" or "approximately"; None if no label stands first."""
    at = 0
    tokens = _without_article(tokens)
    while at < len(tokens) and tokens[at].kind == "word" and tokens[at].text.lower() in _LABELS:
        if tokens[at].text.lower() == "a" and _no_article(tokens[at + 1 : at + 2]):
            return None
        at += 1
    if 0 < at < len(tokens) and not (tokens[at - 1].text.lower() == "positive" and tokens[at].kind == "word"):
        return tokens[at + (tokens[at].text == ":") :]
    for at, token in enumerate(tokens[:8]):
        if token.text == ":" and at and any(t.kind == "word" for t in tokens[:at]):
            return (
                None if any(not names(amount.tree) for amount in amounts(tokens[:at])) else tokens[at + 1 :]
            )
        if token.kind not in ("word", "name"):
            return None
    return None


def _without_article(tokens: Tokens) -> Tokens:
    """Without "a", which is read as a name, before a word."""
    found = len(tokens) > 2 and tokens[0].text in ("a", "A") and tokens[0].kind == "name"
    return tokens[1:] if found and tokens[1].kind == "word" and len(tokens[1].text) > 3 else tokens


def _no_article(after: Tokens) -> bool:
    """True if "a" before these tokens is the letter of an option, or a name."""
    return any(token.text in ".:)=" or token.text in layout.OPTION_LETTERS for token in after)


def _words(tokens: Tokens) -> tuple[str, ...]:
    """Words of a text, or of letters side by side; empty if something else stands among them."""
    if not all(token.kind in ("word", "name", "number") or token.text in "-.'\"()" for token in tokens):
        return ()
    if not any(token.kind == "word" for token in tokens):
        return ()
    words = [token.text.lower().strip(".'") for token in tokens if token.kind != "sign"]
    while len(words) > 1 and words[0] in ("a", "an", "the") and len(words[1]) > 1:
        words.pop(0)
    return day_of(words) or meaning_of(words) or tuple(words)


def _trimmed(tokens: Tokens) -> list[Token]:
    tokens = list(tokens)
    while tokens and tokens[-1].kind == "sign" and tokens[-1].text in ".,;:":
        tokens.pop()
    while tokens and tokens[0].kind == "sign" and tokens[0].text in ".,;:~":
        tokens.pop(0)
    return tokens

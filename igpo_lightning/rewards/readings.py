"""Readings of an answer: its text as nodes, several where it can be read in more than one way.

Two answers are equal if a reading of one equals a reading of the other. A text of which a part is not
understood has no reading at all; it equals only what is written in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from igpo_lightning.rewards import layout
from igpo_lightning.rewards.amounts import Amount, amounts, combined
from igpo_lightning.rewards.expressions import NotUnderstood, parse
from igpo_lightning.rewards.layout import Tokens
from igpo_lightning.rewards.nodes import Items, Node, Option, Ratio, Relation, Remainder, Union, Words
from igpo_lightning.rewards.tokens import Token, tokenize
from igpo_lightning.rewards.trees import Tree
from igpo_lightning.rewards.units import OTHER_MEANING
from igpo_lightning.rewards.vocabulary import listed

_MOST_ITEMS = 60
_DEPTH = 8
_LABELS = listed(
    "answer answers approximately about roughly around exactly only just approx total final  the a an is of"
)
_SENTENCE_WORDS = 10
_REMARKS = frozenset(["rounded", "rounding"])
_CHANGING = OTHER_MEANING - {"is", "are", "was", "to", "from", "for", "equals"} | listed(
    "at least most more less fewer than under over below above up twice double triple thrice by about "
    "between increase decrease change until before after option choice step part chapter day number no"
)


def readings(text: str) -> tuple[Node, ...]:
    """All readings of ``text``, which :func:`notation.plain` has made; none if it is not understood."""
    tokens = tokenize(text)
    if tokens and layout.option(tokens) and tokens[1:2] and tokens[1].text == ")":  # B) 7
        tokens = [tokens[0], tokens[1]._replace(text=":"), *tokens[2:]]
    if not tokens or not layout.balanced(tokens):
        return ()
    tokens = _without_remark(tokens)
    grouped = layout.group_thousands(tokens)
    found = list(_read(grouped, 0))
    if all(isinstance(node, Words) for node in found):
        found += _sentence(grouped)
    if len(grouped) != len(tokens):  # 1,234 may be a pair
        found += _read(tokens, 0)
    return tuple(found)


def _without_remark(tokens: list[Token]) -> list[Token]:
    """Without "(rounded to two decimal places)" at the end."""
    for at in range(1, len(tokens)):
        if tokens[at].kind == "word" and tokens[at].text.lower() in _REMARKS:
            end = at
            while end > 1 and (tokens[end - 1].kind == "sign" and tokens[end - 1].text in "(,"):
                end -= 1
            rest = tokens[at:]
            return (
                tokens[:end]
                if all(t.kind in ("word", "name", "number") or t.text in ")." for t in rest)
                else tokens
            )
    return tokens


def _read(tokens: Tokens, depth: int) -> Iterator[Node]:
    tokens = _trimmed(tokens)
    if not tokens or depth > _DEPTH or any(t.text in layout.ARROWS and t.kind == "sign" for t in tokens):
        return
    whole = list(amounts(tokens))
    yield from whole
    if (chosen := layout.option(tokens)) is not None:
        hedged = bool(layout.separate(chosen[1]).joiners) or (chosen[1] and chosen[1][0].text in ",;")
        rest = () if hedged else tuple(_read(chosen[1], depth + 1))
        if rest or not chosen[1]:
            yield Option(chosen[0], rest)
    split = layout.separate(tokens)
    if len(split.items) > 1 or (split.items and len(split.items[0]) != len(tokens)):
        yield from _list(split, depth)
    elif (labelled := _after_label(tokens)) is not None:
        yield from _read(labelled, depth + 1)
    else:
        yield from _single(tokens, depth, bool(whole))


def _single(tokens: Tokens, depth: int, is_amount: bool) -> Iterator[Node]:
    """Readings of what no separator divides, amounts left out."""
    for signs, make in ((layout.RELATIONS, _relation), (frozenset(["\\cup", "\\setminus"]), _union)):
        pieces, found = layout.split_at(tokens, signs)
        if found:
            yield from make(pieces, found, depth)
            return
    if (brackets := layout.enclosed(tokens)) is not None:
        yield from _bracket(brackets, tokens, depth)
    elif (modulo := _modulus(tokens)) is not None:
        value, modulus = modulo
        if inner := tuple(_read(value, depth + 1)):
            yield Remainder(inner, modulus)
    elif (ratio := _ratio(tokens)) is not None:
        yield ratio
    else:
        if not is_amount and (quantity := _mixed(tokens)) is not None:
            yield quantity
        if not is_amount and (matrix := _multiple(tokens, depth)) is not None:
            yield matrix
        if words := _words(tokens):
            yield Words(words)


def _sentence(tokens: Tokens) -> Iterator[Node]:
    """Natalia sold 72 clips: words without a meaning of their own, and then an amount."""
    at = next((at for at, token in enumerate(tokens) if token.kind != "word"), 0)
    said = [token.text.lower() for token in tokens[:at]]
    if 1 < at <= _SENTENCE_WORDS and not _CHANGING & set(said):
        yield from (replace(amount, loose=True) for amount in amounts(tokens[at:]))


def _list(split: layout.Split, depth: int) -> Iterator[Node]:
    if not 0 < len(split.items) <= _MOST_ITEMS:
        return
    items = tuple(tuple(_read(item, depth + 1)) for item in split.items)
    if all(items):
        first = items[0][0]
        yield Items("list", items) if len(items) > 1 else first
        if len(items) > 1 and (quantity := combined([item[0] for item in items])) is not None:
            yield quantity
        if split.joiners == {"or"}:
            yield Union(items, "\\cup")


def _mixed(tokens: Tokens) -> Amount | None:
    """5 ft 6 in: quantities side by side, cut before each number that follows a word."""
    cuts = [
        at
        for at in range(1, len(tokens))
        if tokens[at].kind == "number"
        and (tokens[at - 1].kind == "word" or tokens[at - 1].text in ("'", "\\degree"))
    ]
    if not cuts or len(cuts) > 3:
        return None
    pieces = [tokens[a:b] for a, b in zip([0, *cuts], [*cuts, len(tokens)], strict=True)]
    read_pieces = [next(iter(amounts(piece)), None) for piece in pieces]
    return None if None in read_pieces else combined(read_pieces)


def _relation(sides: list[Tokens], signs: list[str], depth: int) -> Iterator[Node]:
    if not sides[0] and signs in (["\\approx"], ["="]):
        yield from _read(sides[1], depth + 1)
        return
    last, modulus = _modulus(sides[-1]) or (sides[-1], None)
    read_sides = tuple(tuple(_read(side, depth + 1)) for side in [*sides[:-1], last])
    if not all(read_sides):
        return
    if signs == ["\\equiv"] or modulus is not None:
        yield Remainder(read_sides[-1], modulus) if modulus is not None else Relation(read_sides, ("=",))
    else:
        yield Relation(read_sides, tuple(signs))


def _union(pieces: list[Tokens], signs: list[str], depth: int) -> Iterator[Node]:
    sets = tuple(tuple(_read(piece, depth + 1)) for piece in pieces)
    if all(sets) and len(set(signs)) == 1 and len(sets) <= _MOST_ITEMS:
        yield Union(sets, signs[0])


def _bracket(brackets: tuple[str, str], tokens: Tokens, depth: int) -> Iterator[Node]:
    opening, closing = brackets
    inner = tokens[1:-1]
    if opening == "\\open":
        lines = layout.rows(inner)
        cells = tuple(tuple(_read(cell, depth + 1)) for line in lines for cell in line)
        if cells and all(cells) and len({len(line) for line in lines}) == 1 and len(cells) <= _MOST_ITEMS:
            yield Items("matrix", cells, len(lines[0]))
        return
    if opening == "\\{" and (condition := _condition(inner)) is not None:
        yield from _read(condition, depth + 1)
        return
    items = layout.separate(inner).items
    if opening == "(" and closing == ")" and len(items) == 1:
        yield from _read(inner, depth + 1)
        return
    shape = "set" if opening == "\\{" else opening + closing
    found = tuple(tuple(_read(item, depth + 1)) for item in items)
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
    factor = _tree(tokens[:at])
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


def _modulus(tokens: Tokens) -> tuple[Tokens, Tree] | None:
    """(tokens before, modulus) of "2 (mod 7)" in its spellings."""
    for at, token in enumerate(tokens):
        if at and (
            token.text in ("\\pmod", "\\bmod", "\\mod") or (token.kind == "word" and token.text == "mod")
        ):
            before, after = tokens[:at], tokens[at + 1 :]
            if before[-1].text == "(" and after and after[-1].text == ")":
                before, after = before[:-1], after[:-1]
            return (before, tree) if (tree := _tree(after)) is not None and before else None
    return None


def _ratio(tokens: Tokens) -> Ratio | None:
    """3:2, 3:45 p.m., 1:2:3."""
    tokens = list(tokens)
    half = ""
    while tokens and tokens[-1].kind in ("word", "name") and ":" in {t.text for t in tokens[:-1]}:
        half = tokens.pop().text.replace(".", "").lower() + half
        while tokens and tokens[-1].text == ".":
            tokens.pop()
    pieces, signs = layout.split_at(tokens, {":"})
    terms = [tree for piece in pieces if (tree := _tree(piece)) is not None]
    if not signs or half not in ("", "am", "pm") or len(terms) < len(pieces):
        return None
    return Ratio(tuple(terms), tuple("".join(t.text for t in piece) for piece in pieces), half)


def _after_label(tokens: Tokens) -> Tokens | None:
    """Return what follows "Area:" or "approximately"; None if no label stands first."""
    at = 0
    while at < len(tokens) and tokens[at].kind == "word" and tokens[at].text.lower() in _LABELS:
        at += 1
    if 0 < at < len(tokens):
        return tokens[at + (tokens[at].text == ":") :]
    for at, token in enumerate(tokens[:8]):
        if token.text == ":" and at and any(t.kind == "word" for t in tokens[:at]):
            return tokens[at + 1 :]
        if token.kind not in ("word", "name"):
            return None
    return None


def _words(tokens: Tokens) -> tuple[str, ...]:
    """Words of a text, or of letters side by side; empty if something else stands among them."""
    if not all(token.kind in ("word", "name", "number") or token.text in "-.'\"()" for token in tokens):
        return ()
    if not any(token.kind == "word" for token in tokens):
        return ()
    words = [token.text.lower().strip(".'") for token in tokens if token.kind != "sign"]
    while len(words) > 1 and words[0] in ("a", "an", "the"):
        words.pop(0)
    return tuple(words)


def _tree(tokens: Tokens) -> Tree | None:
    try:
        return parse(tokens) if tokens else None
    except NotUnderstood:
        return None


def _trimmed(tokens: Tokens) -> list[Token]:
    tokens = list(tokens)
    while tokens and tokens[-1].kind == "sign" and tokens[-1].text in ".,;:":
        tokens.pop()
    while tokens and tokens[0].kind == "sign" and tokens[0].text in ".,;:~":
        tokens.pop(0)
    return tokens

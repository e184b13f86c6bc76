"""Sets of real numbers: intervals, inequalities of one name, unions, and the numbers without some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.equations import flipped
from igpo_lightning.rewards.nodes import Items, Node, Relation, Union, Words
from igpo_lightning.rewards.phrases import ALL_REALS, NOTHING
from igpo_lightning.rewards.solving import name_of
from igpo_lightning.rewards.trees import Tree, names
from igpo_lightning.rewards.values import Undefined, evaluate, same

_INFINITY: Tree = ("constant", "infinity")
_MINUS_INFINITY: Tree = ("neg", _INFINITY)


@dataclass(frozen=True)
class Piece:
    """An interval, or one number if both ends are the same."""

    low: Tree
    high: Tree
    closed: tuple[bool, bool]


@dataclass(frozen=True)
class Pieces:
    """A set as its pieces; ``name`` is what was said to lie in it."""

    pieces: tuple[Piece, ...]
    name: str | None = None


_REALS = Piece(_MINUS_INFINITY, _INFINITY, (False, False))


def pieces(node: Node) -> Pieces | None:
    """``node`` as a set of numbers, else None."""
    if isinstance(node, Amount):
        return Pieces((_REALS,)) if node.tree == ("name", "\\mathbb(R)") else None
    if isinstance(node, Words):
        return Pieces((_REALS,)) if node.words == ALL_REALS.name else None
    if isinstance(node, Items):
        return _interval(node)
    if isinstance(node, Union):
        return _union(node)
    return _relation(node) if isinstance(node, Relation) else None


def is_empty(node: Node) -> bool:
    """True for the empty set, in signs or words."""
    if isinstance(node, Words):
        return node.words == NOTHING.name
    if isinstance(node, Items):
        return node.shape == "set" and not node.items
    return isinstance(node, Amount) and node.tree == ("name", "\\emptyset")


def same_pieces(stated: Pieces, gold: Pieces) -> bool:
    """True if both consist of the same pieces."""
    if len(stated.pieces) != len(gold.pieces):
        return False
    left = list(gold.pieces)
    for piece in stated.pieces:
        at = next((i for i, other in enumerate(left) if _same_piece(piece, other)), None)
        if at is None:
            return False
        del left[at]
    return True


def _same_piece(a: Piece, b: Piece) -> bool:
    return a.closed == b.closed and same(a.low, b.low) and same(a.high, b.high)


def _interval(items: Items) -> Pieces | None:
    ends = [end for item in items.items if (end := _number(item)) is not None]
    if len(ends) < len(items.items):
        return None
    if items.shape == "set" and ends:
        return Pieces(tuple(Piece(end, end, (True, True)) for end in ends))
    if len(ends) != 2 or len(items.shape) != 2 or items.shape[0] not in "([" or items.shape[1] not in ")]":
        return None
    return Pieces((Piece(ends[0], ends[1], (items.shape[0] == "[", items.shape[1] == "]")),))


def _number(readings: tuple[Node, ...]) -> Tree | None:
    return next((node.tree for node in readings if isinstance(node, Amount)), None)


def _union(union: Union) -> Pieces | None:
    read = (next((p for node in readings if (p := pieces(node))), None) for readings in union.sets)
    found = [one for one in read if one is not None]
    if len(found) < len(union.sets):
        return None
    named = {one.name for one in found if one.name}
    if len(named) > 1:
        return None
    name = next(iter(named), None)
    if union.sign == "\\cup":
        return Pieces(tuple(piece for one in found for piece in one.pieces), name)
    return _without(found[0].pieces, found[1]) if len(found) == 2 else None


def _without(whole: tuple[Piece, ...], points: Pieces) -> Pieces | None:
    """Intervals without some numbers within them."""
    if any(piece.low != piece.high for piece in points.pieces):
        return None
    found = list(whole)
    for point in (piece.low for piece in points.pieces):
        at = next((i for i, piece in enumerate(found) if _within(point, piece)), None)
        if at is None:
            return None
        piece = found[at]
        left = Piece(piece.low, point, (piece.closed[0], False))
        found[at : at + 1] = [left, Piece(point, piece.high, (False, piece.closed[1]))]
    return Pieces(tuple(found))


def _within(point: Tree, piece: Piece) -> bool:
    try:
        low: Any
        value: Any
        high: Any
        low, value, high = (evaluate(tree, {}) for tree in (piece.low, point, piece.high))
        return bool(low < value < high)
    except (Undefined, KeyError, TypeError):
        return False


def _relation(relation: Relation) -> Pieces | None:
    """x > 3, 1 < x ≤ 3, x ≠ 3 and x ∈ …; exactly one side is a name, the others are numbers."""
    if relation.signs[0] in (">", "\\ge"):
        relation = flipped(relation)
    sides, signs = relation.sides, relation.signs
    named = {at: name for at, side in enumerate(sides) if (name := name_of(side)) is not None}
    if signs == ("\\in",) and list(named) == [0]:
        inner = next((p for node in sides[1] if (p := pieces(node))), None)
        return inner and Pieces(inner.pieces, named[0])
    if len(named) != 1:
        return None
    [(at, name)] = named.items()
    bounds = {place: end for place, side in enumerate(sides) if place != at and (end := _number(side))}
    if len(bounds) != len(sides) - 1 or any(map(names, bounds.values())):
        return None
    if signs == ("\\neq",):
        inner = _without((_REALS,), Pieces((Piece(bounds[1 - at], bounds[1 - at], (True, True)),)))
        return inner and Pieces(inner.pieces, name)
    if not set(signs) <= {"<", "\\le"} or at > 1 or at + 2 < len(sides):
        return None
    closed = (at > 0 and signs[at - 1] == "\\le", at < len(signs) and signs[at] == "\\le")
    piece = Piece(bounds.get(at - 1, _MINUS_INFINITY), bounds.get(at + 1, _INFINITY), closed)
    return Pieces((piece,), name)

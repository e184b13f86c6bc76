"""Compares two answers, each given by its readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from igpo_lightning.rewards import equations, sets, solving
from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.layout import OPTION_LETTERS
from igpo_lightning.rewards.nodes import Items, Node, Option, Ratio, Relation, Remainder, Union, Words
from igpo_lightning.rewards.numbers import rounds_to, written
from igpo_lightning.rewards.trees import Tree, has, names
from igpo_lightning.rewards.unit_names import unit_name
from igpo_lightning.rewards.values import close, everywhere, exact, same

Readings = Sequence[Node]
Kind = TypeVar("Kind")


def agree(stated: Readings, gold: Readings) -> bool:
    """True if a reading of ``stated`` says what a reading of ``gold`` says."""
    return any(_same(here, there) for here in stated for there in gold)


def _same(stated: Node, gold: Node) -> bool:
    """Compare two nodes; what differs in kind is brought to the kind of the other first."""
    for kind, compare in _RULES:
        if isinstance(stated, kind) or isinstance(gold, kind):
            return compare(stated, gold)
    return isinstance(stated, Amount) and isinstance(gold, Amount) and _amounts(stated, gold)


def _apart(kind: type[Kind], stated: Node, gold: Node) -> tuple[Kind, Node, bool]:
    """(the side of this kind, the other side, True if the first is ``stated``)."""
    if isinstance(stated, kind):
        return stated, gold, True
    assert isinstance(gold, kind)
    return gold, stated, False


def _relations(stated: Node, gold: Node) -> bool:
    if isinstance(stated, Relation) and isinstance(gold, Relation):
        return equations.same_relations(stated, gold, agree) or _as_sets(stated, gold)
    relation, other, first = _apart(Relation, stated, gold)
    if set(relation.signs) <= {"=", "\\approx", "\\in"}:
        values = solving.solved(relation, agree)
        return values is not None and _ordered(values[1], other, first)
    return _as_sets(stated, gold)


def _ordered(values: Readings, other: Node, first: bool) -> bool:
    return agree(values, [other]) if first else agree([other], values)


def _as_sets(stated: Node, gold: Node) -> bool:
    here, there = sets.pieces(stated), sets.pieces(gold)
    if here is None or there is None or (here.name and there.name and here.name != there.name):
        return False
    return sets.same_pieces(here, there)


def _unions(stated: Node, gold: Node) -> bool:
    if _as_sets(stated, gold):
        return True
    if not isinstance(stated, Union) or not isinstance(gold, Union):
        return False
    if stated.sign != gold.sign or len(stated.sets) != len(gold.sets):
        return False
    if stated.sign == "\\cup":
        return _matched(stated.sets, gold.sets)
    return all(map(agree, stated.sets, gold.sets))


def _options(stated: Node, gold: Node) -> bool:
    if isinstance(stated, Option) and isinstance(gold, Option):
        rests = not stated.rest or not gold.rest or agree(stated.rest, gold.rest)
        return stated.letter == gold.letter and rests
    option, other, first = _apart(Option, stated, gold)
    return bool(option.rest) and _ordered(option.rest, other, first)


def _items(stated: Node, gold: Node) -> bool:
    stated, gold = _expanded(stated), _expanded(gold)
    if isinstance(stated, Items) and isinstance(gold, Items):
        return _same_items(stated, gold)
    items, other = (stated, gold) if isinstance(stated, Items) else (gold, stated)
    if not isinstance(items, Items):
        return _same(stated, gold)
    if items.shape == "set" and len(items.items) == 1:
        return _ordered(items.items[0], other, stated is items)
    if not items.items:
        return sets.is_empty(other)
    return _as_sets(stated, gold)


def _same_items(stated: Items, gold: Items) -> bool:
    stated, gold = _lined(stated, gold), _lined(gold, stated)
    loose = {"list", "set"}
    if len(stated.items) != len(gold.items):
        return False
    if stated.shape in loose and gold.shape in loose:
        if _all_words(stated.items) and _all_words(gold.items):  # names may be an order
            return all(map(agree, stated.items, gold.items))
        return _matched(stated.items, gold.items)
    shapes = {stated.shape, gold.shape}
    vector = all(_vector(items) for items in (stated, gold)) and shapes != {"matrix"}
    if (stated.shape == gold.shape and stated.width == gold.width) or vector or shapes == {"list", "()"}:
        return all(map(agree, stated.items, gold.items))
    return False


def _lined(items: Items, other: Items) -> Items:
    """[[1, 2], [3, 4]] as a matrix, where the other is one."""
    lines = [item[0] for item in items.items if isinstance(item[0], Items)]
    if (
        other.shape != "matrix"
        or items.shape not in ("[]", "()")
        or len(lines) != len(items.items)
        or not lines
    ):
        return items
    cells = tuple(cell for line in lines for cell in line.items)
    return Items("matrix", cells, len(lines[0].items))


def _vector(items: Items) -> bool:
    column = items.shape == "matrix" and items.width == 1
    return column or (items.shape in ("()", "\\langle\\rangle") and len(items.items) > 1)


def _all_words(items: Sequence[Readings]) -> bool:
    """True if every item is a word, not a letter or two: names of people, days and the like."""
    return all(any(isinstance(n, Words) and len(max(n.words, key=len)) > 2 for n in item) for item in items)


def _matched(stated: Sequence[Readings], gold: Sequence[Readings]) -> bool:
    """True if the items pair up; being equal is transitive, so the first fit will do."""
    left = list(gold)
    for item in stated:
        at = next((i for i, other in enumerate(left) if agree(item, other)), None)
        if at is None:
            return False
        del left[at]
    return True


def _expanded(node: Node) -> Node:
    """1 ± 2 as two items, alone or in a list."""
    if isinstance(node, Amount) and has(node.tree, "pm"):
        return Items("list", tuple((amount,) for amount in _both_signs(node)))
    if isinstance(node, Items) and node.shape in ("list", "set"):
        items: list[tuple[Node, ...]] = []
        for item in node.items:
            single = item[0] if item else None
            if isinstance(single, Amount) and has(single.tree, "pm"):
                items += [(amount,) for amount in _both_signs(single)]
            else:
                items.append(item)
        return Items(node.shape, tuple(items))
    return node


def _both_signs(amount: Amount) -> list[Amount]:
    return [Amount(_signed(amount.tree, sign), amount.unit) for sign in (1, -1)]


def _signed(tree: Tree, sign: int) -> Tree:
    if tree[0] == "pm":
        inner = _signed(tree[1], sign)
        return inner if sign > 0 else ("neg", inner)
    return tuple(_signed(part, sign) if isinstance(part, tuple) else part for part in tree)


def _remainders(stated: Node, gold: Node) -> bool:
    here = stated.value if isinstance(stated, Remainder) else [stated]
    there = gold.value if isinstance(gold, Remainder) else [gold]
    if (
        isinstance(stated, Remainder)
        and isinstance(gold, Remainder)
        and not same(stated.modulus, gold.modulus)
    ):
        return False
    return agree(here, there)


def _ratios(stated: Node, gold: Node) -> bool:
    if isinstance(stated, Ratio) and isinstance(gold, Ratio):
        if stated.half and gold.half and stated.half != gold.half:
            return False
        if _clock(stated) or _clock(gold):
            return [text.lstrip("0") for text in stated.texts] == [text.lstrip("0") for text in gold.texts]
        if len(stated.terms) != len(gold.terms):
            return False
        crossed = zip(pairwise(stated.terms), pairwise(gold.terms), strict=True)
        return all(same(("mul", a, d), ("mul", b, c)) for (a, b), (c, d) in crossed)
    ratio, other, _ = _apart(Ratio, stated, gold)
    if (
        _clock(ratio)
        or ratio.worded
        or len(ratio.terms) != 2
        or not isinstance(other, Amount)
        or other.unit is not None
    ):
        return False
    return same(("div", *ratio.terms), other.tree)


def _clock(ratio: Ratio) -> bool:
    """True if it may be a time: its last part has two digits."""
    if ratio.worded:
        return False
    return bool(ratio.half) or (len(ratio.texts[-1]) == 2 and ratio.texts[-1].isdigit())


def _words(stated: Node, gold: Node) -> bool:
    if isinstance(stated, Words) and isinstance(gold, Words):
        return stated.words == gold.words
    return _as_sets(stated, gold) or (sets.is_empty(stated) and sets.is_empty(gold))


def _amounts(stated: Amount, gold: Amount) -> bool:
    """Same unit, as far as both name one, and same value."""
    if has(stated.tree, "pm") or has(gold.tree, "pm"):
        return _items(stated, gold)
    if stated.base or gold.base:
        if stated.unit or gold.unit:
            return False
        return stated.text.upper() == gold.text.upper() and not (
            stated.base and gold.base and stated.base != gold.base
        )
    if gold.loose and not _written_out(stated, gold):
        return False  # a letter in the gold answer is what the question is about
    if stated.loose and names(gold.tree):
        return False
    if stated.unit and gold.unit and not stated.unit.agrees(gold.unit):
        return False
    if stated.unit and names(gold.tree) and not gold.unit and _named_unit(stated.unit, gold.tree):
        return False
    if stated.unit and gold.tree[0] == "name" and gold.tree[1] in OPTION_LETTERS:
        return False  # "A C" names two options, and no coulombs
    return same_value(stated, gold)


def _written_out(stated: Amount, gold: Amount) -> bool:
    """True if ``stated`` names, for certain, the unit that letters of ``gold`` may be: \\text{m} for m."""
    named = None if stated.loose or stated.unit is None else stated.unit.powers
    return bool(named) and gold.unit is not None and named == gold.unit.powers


def _named_unit(unit, tree: Tree) -> bool:
    """True if the unit of one side is a name in the other: 2 m for 2m."""
    return any(unit_name(name) in dict(unit.powers) for name in names(tree))


def same_value(stated: Amount, gold: Amount) -> bool:
    """True if the values are equal, or one is a decimal of 6 digits or more to which the other rounds."""
    if same(stated.tree, gold.tree):
        return True
    return _rounded(stated, gold.tree) or _rounded(gold, stated.tree)


def _rounded(amount: Amount, tree: Tree) -> bool:
    stated = written(amount.text)
    if stated is None or not stated.precise or names(tree):
        return False
    if (value := exact(tree)) is not None:
        return rounds_to(amount.text, value)
    trees = [tree, ("number", stated.value), ("number", stated.step / 2)]
    return everywhere(trees, _within)


def _within(value, stated, half) -> bool:
    return abs(value - stated) <= half or close(abs(value - stated), half)


_RULES: tuple[tuple[type, Callable[[Node, Node], bool]], ...] = (
    (Option, _options),
    (Relation, _relations),
    (Union, _unions),
    (Remainder, _remainders),
    (Items, _items),
    (Ratio, _ratios),
    (Words, _words),
)

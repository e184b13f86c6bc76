"""Value that a chain of equations says of a name, such as 72 for x = 6 * 12 = 72."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.layout import OPTION_LETTERS
from igpo_lightning.rewards.nodes import Items, Node, Relation, Words
from igpo_lightning.rewards.numbers import written
from igpo_lightning.rewards.trees import Tree, has, names, product
from igpo_lightning.rewards.unit_names import scale_of
from igpo_lightning.rewards.values import everywhere, exact, same

Readings = Sequence[Node]
Agree = Callable[[Readings, Readings], bool]

_LETTERS = r"\(\\?[A-Za-z]+(?:,[A-Za-z]+)*\)"
_PLACES = r"\((?:-?[0-9.]+|\\?[A-Za-z]+)(?:,(?:-?[0-9.]+|\\?[A-Za-z]+))*\)"
_DERIVED = r"(?:'+|\^(?:'+|\{'+\}|\{-1\}|\{\([0-9n]\)\}|\([0-9n]\)))"
_APPLIED = re.compile(
    rf"\\?[A-Za-z]+(?:_\{{?\w+\}}?)?{_LETTERS}"  # f(x)
    rf"|\\?[A-Za-z](?:_\{{?\w+\}}?)?{_DERIVED}{_PLACES}"  # f'(x), f^{{-1}}(2)
    rf"|[fghFGH]{_PLACES}|[fgh]\([fgh](?:{_PLACES})\)"  # f(-1), f(g(x))
    rf"|\([fgh](?:[-+/]|\\cdot|\\circ)?[fgh]\){_PLACES}"  # (f + g)(x), (f \circ g)(x)
)
_VECTORS = frozenset(["\\vec", "\\overrightarrow", "\\overline"])
_VERDICTS = frozenset({("yes",), ("no",), ("true",), ("false",), ("none",)})
_ALTERNATIVES = frozenset(["not", "or", "either", "neither"])
_LOOSE = 0.05
_MOST_ROUNDED = 6
_LARGE = 10**5


def solved(relation: Relation, agree: Agree) -> tuple[tuple[str, ...], Readings] | None:
    """(names, value) of a chain such as a = b = 5 or 6 * 12 = 72; None if it says no value.

    Only names may stand beside the value, and other sides must be equal to it: 2x = 5 does not say 5,
    and neither do 6 = 5 and 6 apples = 5. Where sides differ in their unit (60 minutes = 1 hour) or by
    rounding (1/3 ≈ 0.333), the first and the last of them are the value.
    """
    named = [name_of(side) for side in relation.sides]
    values = [side for side, name in zip(relation.sides, named, strict=True) if name is None]
    found = tuple(name for name in named if name is not None)
    if not values or relation.signs == ("\\in",):
        return _of_names(relation, named)
    if all(agree(values[0], other) for other in values[1:]):
        return found, values[-1]
    if "\\approx" not in relation.signs:
        follows = all(agree(values[0], other) or _converted(values[0], other) for other in values[1:])
    elif len(values) <= _MOST_ROUNDED:
        follows = all(agree(*pair) or _near(*pair) for pair in combinations(values, 2))
    else:
        follows = False
    return (found, [*values[0], *values[-1]]) if follows else None


def _of_names(relation: Relation, named: Sequence[str | None]) -> tuple[tuple[str, ...], Readings] | None:
    """E = mc, x ∈ {1, 2}: the last side is what is said of the others.

    Words say nothing of other words (Alice = Bob), and a letter of an option nothing of another (A = B).
    """
    *found, last = named
    if None in found:
        return None
    others = tuple(name for name in found if name is not None)
    if last is not None:
        worded = all(isinstance(node, Words) for node in relation.sides[-1])
        alike = [name for name in others if (worded and name[0] == '"') or {name, last} <= OPTION_LETTERS]
        if any(name != last for name in alike):
            return None
    return others, relation.sides[-1]


def name_of(side: Readings) -> str | None:
    """The name that a side of an equation is, else None: x, x_1, f(x), AB, \\angle ABC, or words.

    What counts something is a value, whatever it is called: "5 apples" and "two" are no names.
    """
    words = None
    for node in side:
        if isinstance(node, Words):
            if node.words in _VERDICTS or not _ALTERNATIVES.isdisjoint(node.words):
                return None
            words = words or f'"{" ".join(node.words)}"'
        elif isinstance(node, Amount):
            if (name := _name(node)) is not None:
                return name
            if node.unit is not None or has(node.tree, "number"):
                return None
        elif isinstance(node, Items) and node.shape == "()":
            names_ = [name for item in node.items if (name := name_of(item))]
            if len(names_) == len(node.items):
                return ",".join(names_)  # (x, y)
    return words


def _name(amount: Amount) -> str | None:
    tree = amount.tree
    if tree[0] == "name":
        return tree[1]
    if amount.unit is None and _APPLIED.fullmatch(amount.text):
        return amount.text.replace("{", "").replace("}", "")
    if tree[0] == "abs":
        return _length(tree[1], amount)
    if amount.unit is not None or tree[0] != "mul" or any(factor[0] != "name" for factor in tree[1:]):
        return None
    if len(tree) == 3 and tree[2][1].startswith("\\angle"):
        return tree[2][1]  # the measure of an angle, m∠A
    letters = "".join(factor[1] for factor in tree[1:])
    return letters if letters.isalpha() and letters.isupper() else None  # a segment AB


def _length(inside: Tree, amount: Amount) -> str | None:
    """The name of the length of a segment, |AB| and AB, or of a vector; else None, for |x| = 8 says ±8."""
    name = None if amount.unit is not None else _name(Amount(inside))
    if name is None or (name.isalpha() and len(name) > 1 and name.isupper()):
        return name
    accent, _, segment = name.partition("(")
    return f"|{name}|" if accent in _VECTORS and segment else None


def _pairs(left: Readings, right: Readings) -> list[tuple[Amount, Amount]]:
    return [(a, b) for a in left for b in right if isinstance(a, Amount) and isinstance(b, Amount)]


def _converted(left: Readings, right: Readings) -> bool:
    """True if both are one quantity in two units, as 60 minutes and 1 hour."""
    for here, there in _pairs(left, right):
        if here.unit is None or there.unit is None or names(here.tree) or names(there.tree):
            continue
        if len(here.unit.powers) != 1 or len(there.unit.powers) != 1:
            continue
        ((first, power),), ((second, other),) = here.unit.powers, there.unit.powers
        factor = scale_of(first, second)
        if factor is None or factor == 1 or power != other:  # a dollar is no euro
            continue
        if same(("mul", here.tree, ("number", factor**power)), there.tree):
            return True
    return False


# ---------------------------------------------------------------- what ≈ may join


def _near(left: Readings, right: Readings) -> bool:
    """True if one side is the other, rounded to the last digit that it is written with."""
    for here, there in _pairs(left, right):
        if here.unit and there.unit and not here.unit.agrees(there.unit):
            continue
        if _rounds(here, there.tree) or _rounds(there, here.tree):
            return True
    return False


def _rounds(amount: Amount, tree: Tree) -> bool:
    """True if ``amount``, a decimal or one times names (0.707c), is ``tree`` rounded, and near it.

    Whole numbers are not rounded ones of others, as 100 ≈ 104 would be a free choice between the two; but
    3.00 * 10^8 says itself which digits it has, if these are three or the number is a large one.
    """
    read = written(amount.text)
    if read is None:
        return False
    factors = amount.tree[1:] if amount.tree[0] == "mul" else (amount.tree,)
    if not read.whole and exact(factors[0]) != read.value:
        return False
    half: Tree = ("number", read.step / 2)
    times = half if read.whole else product([half, *factors[1:]])
    here, there = exact(amount.tree), exact(tree)
    size = abs(read.value)
    chosen = read.step > 1 and (100 * read.step <= size or size >= _LARGE)
    whole = here is not None and there is not None and here.denominator == there.denominator == 1
    if whole and not chosen:
        return here == there
    return everywhere([amount.tree, tree, times], _within)


def _within(a, b, half) -> bool:
    least = abs(half) * (1 + 1e-12)  # a half itself may be rounded either way
    return abs(a - b) <= least and abs(a - b) <= _LOOSE * max(abs(a), abs(b))

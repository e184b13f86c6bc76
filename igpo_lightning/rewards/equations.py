"""Equations and inequalities: their value for a name, and comparison of two of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.nodes import Items, Node, Relation, Words
from igpo_lightning.rewards.trees import Tree, aligned, names
from igpo_lightning.rewards.values import close, everywhere, same

Readings = Sequence[Node]
Agree = Callable[[Readings, Readings], bool]

_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\neq": "\\neq", "=": "="}
_APPLIED = re.compile(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?\(\\?[A-Za-z]+(?:,[A-Za-z]+)*\)")  # f(x)
_LOOSE = 0.05


def solved(relation: Relation, agree: Agree) -> tuple[tuple[str, ...], Readings] | None:
    """(names, value) of a chain such as a = b = 5 or 6 * 12 = 72; None if it says no value.

    Only names may stand beside the value, and other sides must be equal to it: 2x = 5 does not say 5,
    and neither does 6 = 5. Around ≈ the sides need only be near each other; each of them is the value then.
    """
    named = [name_of(side) for side in relation.sides]
    values = [side for side, name in zip(relation.sides, named, strict=True) if name is None]
    found = tuple(name for name in named if name is not None)
    if relation.signs == ("\\in",):
        return (found, relation.sides[1]) if named[0] else None
    if not values:
        # E = mc: every side is a name; the last one is what is said of the others
        return found[:-1], relation.sides[-1]
    if "\\approx" in relation.signs:
        near = all(_near(values[0], other) for other in values[1:])
        return (found, [node for side in values for node in side]) if near else None
    if all(agree(values[0], other) for other in values[1:]):
        return found, values[-1]
    return None


def name_of(side: Readings) -> str | None:
    """The name that a side of an equation is, else None: x, x_1, f(x), AB, \\angle ABC, or words."""
    for node in side:
        if isinstance(node, Words):
            return f'"{" ".join(node.words)}"'
        if isinstance(node, Amount) and node.unit is None and (name := _name(node)) is not None:
            return name
        if isinstance(node, Items) and node.shape == "()":
            names_ = [name for item in node.items if (name := name_of(item))]
            if len(names_) == len(node.items):
                return ",".join(names_)  # (x, y)
    return None


def _name(amount: Amount) -> str | None:
    tree = amount.tree
    if tree[0] == "name":
        return tree[1]
    if tree[0] != "mul" or any(factor[0] != "name" for factor in tree[1:]):
        return None
    if _APPLIED.fullmatch(amount.text):
        return amount.text
    if len(tree) == 3 and tree[2][1].startswith("\\angle"):
        return tree[2][1]  # the measure of an angle, m∠A
    letters = "".join(factor[1] for factor in tree[1:])
    return letters if letters.isalpha() and letters.isupper() else None  # a segment AB


def same_relations(stated: Relation, gold: Relation, agree: Agree) -> bool:
    """True if two relations say the same of the same names."""
    equations = {"=", "\\approx", "\\in"}
    if set(stated.signs) <= equations and set(gold.signs) <= equations:
        here, there = solved(stated, agree), solved(gold, agree)
        if here and there and _same_names(here[0], there[0]) and agree(here[1], there[1]):
            return True
        if _is_constant(there) or _is_constant(here):
            return False
    if len(stated.signs) != 1 or len(gold.signs) != 1:
        return _same_chain(stated, gold, agree)
    return any(_equivalent(a, b) for a in _trees(stated) for b in _trees(gold))


def _same_names(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    """True if one names nothing that the other does not; "the area" may stand for a letter."""
    if not here or not there or set(here) & set(there):
        return True
    worded = [any(name.startswith('"') for name in names_) for names_ in (here, there)]
    if any(worded):
        return not all(worded)
    plotted = [names_ == ("y",) for names_ in (here, there)]
    return any(plotted) and all(name == "y" or name.endswith("(x)") for name in (*here, *there))


def _is_constant(value: tuple[tuple[str, ...], Readings] | None) -> bool:
    """True for a name that is a number."""
    return (
        value is not None
        and bool(value[0])
        and any(isinstance(node, Amount) and not names(node.tree) for node in value[1])
    )


def _near(left: Readings, right: Readings) -> bool:
    for here in left:
        for there in right:
            if not isinstance(here, Amount) or not isinstance(there, Amount):
                continue
            if everywhere([here.tree, there.tree], _nearly):
                return True
    return False


def _nearly(a, b) -> bool:
    return abs(a - b) <= _LOOSE * max(abs(a), abs(b))


def _same_chain(stated: Relation, gold: Relation, agree: Agree) -> bool:
    """The same sides and signs, read from either end."""
    for sides, signs in ((stated.sides, stated.signs), _reversed(stated)):
        if signs == gold.signs and all(map(agree, sides, gold.sides)):
            return True
    return False


def _reversed(relation: Relation) -> tuple[tuple[Readings, ...], tuple[str, ...]]:
    return relation.sides[::-1], tuple(_FLIPPED.get(sign, sign) for sign in reversed(relation.signs))


def _trees(relation: Relation) -> list[tuple[str, Tree]]:
    """(sign, left − right) for the readings of both sides without units."""
    [sign] = relation.signs
    sign = {"\\approx": "=", "\\equiv": "="}.get(sign, sign)
    lefts, rights = (
        [node.tree for node in side if isinstance(node, Amount) and node.unit is None]
        for side in relation.sides
    )
    return [(sign, ("add", left, ("neg", right))) for left in lefts[:2] for right in rights[:2]]


def _equivalent(stated: tuple[str, Tree], gold: tuple[str, Tree]) -> bool:
    """True if left − right of both differ by a factor that changes nothing.

    For an equation the factor may hold names, as long as it adds no solutions: m dv/dt + bv = f is
    dv/dt = −bv/m + f/m, but x² = 2x is not x = 2.
    """
    (here, left), (there, right) = stated, gold
    left, right = aligned(left, right)
    variables = sorted(names(left) & names(right)) if names(left) == names(right) else []
    if not variables:
        return False
    if here != there and _FLIPPED.get(here) != there:
        return False
    sign = 1 if here == there else -1
    ratios: list = []

    def constant(a, b) -> bool:
        if not a or not b:
            return not a and not b
        ratios.append(a / b)
        return close(ratios[0], ratios[-1])

    if everywhere([left, right], constant) and ratios:
        return here in ("=", "\\neq") or (getattr(ratios[0], "imag", 0) == 0 and ratios[0] * sign > 0)
    return here == there == "=" and _by_monomial(left, right, variables)


def _by_monomial(left: Tree, right: Tree, variables: Sequence[str]) -> bool:
    """True if left / right is a power product of names, none of which divides either side."""
    rest: Tree = left
    factors = 0
    for name in variables:
        power = _degree(left, right, name)
        if power is None or abs(power) > 6:
            return False
        if power:
            factors += 1
            taller = left if power > 0 else right
            if not _survives(taller, name):
                return False
            rest = ("div", rest, ("pow", ("name", name), ("number", power)))
    ratios: list = []

    def constant(a, b) -> bool:
        ratios.append(a / b if b else None)
        return ratios[-1] is not None and close(ratios[0], ratios[-1])

    return factors > 0 and everywhere([rest, right], constant)


def _degree(left: Tree, right: Tree, name: str):
    """k where doubling ``name`` multiplies left / right by 2 to the power of k; None if there is none."""
    doubled = [_doubled(tree, name) for tree in (left, right)]
    for power in (0, 1, -1, 2, -2, 3, -3):
        factor = ("number", Fraction(2) ** power)
        crossed = [("mul", ("mul", factor, left), doubled[1]), ("mul", doubled[0], right)]
        if same(*crossed):
            return Fraction(power)
    return None


def _doubled(tree: Tree, name: str) -> Tree:
    if tree == ("name", name):
        return ("mul", ("number", Fraction(2)), tree)
    return tuple(_doubled(part, name) if isinstance(part, tuple) else part for part in tree)


def _survives(tree: Tree, name: str) -> bool:
    """True if ``tree`` does not vanish with ``name``: then the factor adds no solution."""

    def zeroed(part):
        if part == ("name", name):
            return ("number", Fraction(0))
        return tuple(zeroed(p) if isinstance(p, tuple) else p for p in part)

    return everywhere([zeroed(tree)], lambda value: bool(value))

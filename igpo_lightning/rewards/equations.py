"""Compares two equations or inequalities."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.nodes import Relation
from igpo_lightning.rewards.solving import Agree, Readings, solved
from igpo_lightning.rewards.trees import Tree, aligned, names, with_names
from igpo_lightning.rewards.values import close, everywhere, same

_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\neq": "\\neq", "=": "="}


def same_relations(stated: Relation, gold: Relation, agree: Agree) -> bool:
    """True if two relations say the same of the same names."""
    equations = {"=", "\\approx", "\\in"}
    if set(stated.signs) <= equations and set(gold.signs) <= equations:
        here, there = solved(stated, agree), solved(gold, agree)
        if here and there and _same_names(here[0], there[0]) and agree(here[1], there[1]):
            return True
        if _is_constant(there) or _is_constant(here):
            return False
    if _same_chain(stated, gold, agree):
        return True
    if len(stated.signs) != 1 or len(gold.signs) != 1:
        return False
    return any(_equivalent(a, b) for a in _trees(stated) for b in _trees(gold))


def _same_names(here: tuple[str, ...], there: tuple[str, ...]) -> bool:
    """True if one names nothing that the other does not; "the area" may stand for a letter."""
    if not here or not there or set(here) & set(there):
        return True
    worded = [any(name.startswith('"') for name in names_) for names_ in (here, there)]
    if any(worded):
        return not all(worded)
    plotted = [names_ == ("y",) for names_ in (here, there)]
    drawn = all(name == "y" or (name.endswith("(x)") and "'" not in name) for name in (*here, *there))
    return any(plotted) and drawn


def _is_constant(value: tuple[tuple[str, ...], Readings] | None) -> bool:
    """True for a name that is a number."""
    return (
        value is not None
        and bool(value[0])
        and any(isinstance(node, Amount) and not names(node.tree) for node in value[1])
    )


def _same_chain(stated: Relation, gold: Relation, agree: Agree) -> bool:
    """The same sides and signs, read from either end."""
    return any(
        chain.signs == gold.signs and all(map(agree, chain.sides, gold.sides))
        for chain in (stated, flipped(stated))
    )


def flipped(relation: Relation) -> Relation:
    """3 < x for x > 3."""
    signs = tuple(_FLIPPED.get(sign, sign) for sign in reversed(relation.signs))
    return Relation(relation.sides[::-1], signs)


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
        if power is None:
            return False
        if power:
            factors += 1
            if not _survives(left if power > 0 else right, name):
                return False
            rest = ("div", rest, ("pow", ("name", name), ("number", Fraction(power))))
    ratios: list = []

    def constant(a, b) -> bool:
        ratios.append(a / b if b else None)
        return ratios[-1] is not None and close(ratios[0], ratios[-1])

    return factors > 0 and everywhere([rest, right], constant)


def _degree(left: Tree, right: Tree, name: str) -> int | None:
    """k where doubling ``name`` multiplies left / right by 2 to the power of k; None if there is none."""
    twice = {name: ("mul", ("number", Fraction(2)), ("name", name))}
    doubled = [with_names(tree, twice) for tree in (left, right)]
    for power in (0, 1, -1, 2, -2, 3, -3):
        factor = ("number", Fraction(2) ** power)
        if same(("mul", factor, left, doubled[1]), ("mul", doubled[0], right)):
            return power
    return None


def _survives(tree: Tree, name: str) -> bool:
    """True if ``tree`` does not vanish with ``name``: then the factor adds no solution."""
    return everywhere([with_names(tree, {name: ("number", Fraction(0))})], bool)

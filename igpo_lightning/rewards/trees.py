"""Formulas as trees.

A tree is nested tuples: ``("number", Fraction)``, ``("name", "x_1")``, ``("constant", "pi")``, and the
operations ``add``, ``mul``, ``div``, ``pow``, ``root``, ``neg``, ``pm`` (plus or minus), ``call``,
``factorial``, ``binom``, ``abs``, ``floor`` and ``ceil``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tree = tuple[Any, ...]


def names(tree: Tree) -> set[str]:
    """All names in ``tree``."""
    if tree[0] == "name":
        return {tree[1]}
    return set().union(*(names(part) for part in tree[1:] if isinstance(part, tuple)), set())


def has(tree: Tree, *kinds: str) -> bool:
    """True if an operation or constant of these names occurs in ``tree``."""
    if tree[0] in kinds or (tree[0] == "constant" and tree[1] in kinds):
        return True
    return any(has(part, *kinds) for part in tree[1:] if isinstance(part, tuple))


def product(factors: list[Tree]) -> Tree:
    return ("mul", *factors) if len(factors) > 1 else factors[0]


def proper(part: Tree) -> bool:
    """True for a fraction of whole numbers below 1, as in 7 3/4."""
    over, under = part[1], part[2]
    if over[0] != "number" or under[0] != "number":
        return False
    return over[1].denominator == under[1].denominator == 1 and 0 < over[1] < under[1]


def aligned(left: Tree, right: Tree) -> tuple[Tree, Tree]:
    """Both with one name for a derivative: v' on one side is dv/dt, or dv/dx, of the other."""
    here, there = names(left), names(right)
    open_ = {name for name in here ^ there if name.startswith("D") and name.endswith(" ?")}
    renamed: dict[str, Tree] = {}
    for name in open_:
        full = {other for other in here | there if other.startswith(name[:-1]) and other != name}
        if len(full) == 1:
            renamed[name] = ("name", full.pop())
    return (with_names(left, renamed), with_names(right, renamed)) if renamed else (left, right)


def with_names(tree: Tree, meant: Mapping[str, Tree]) -> Tree:
    """``tree`` with the trees that names stand for in their places."""
    if tree[0] == "name":
        return meant.get(tree[1], tree)
    return tuple(with_names(part, meant) if isinstance(part, tuple) else part for part in tree)

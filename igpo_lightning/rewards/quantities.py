"""Quantities that are made of several numbers: 5 ft 6 in, $48 + $24, 3:2 and 2 (mod 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from igpo_lightning.rewards import layout
from igpo_lightning.rewards.amounts import Amount, amounts, combined
from igpo_lightning.rewards.expressions import tree_of
from igpo_lightning.rewards.layout import Tokens
from igpo_lightning.rewards.nodes import Node, Ratio
from igpo_lightning.rewards.tokens import Token
from igpo_lightning.rewards.trees import Tree
from igpo_lightning.rewards.unit_names import unit_name
from igpo_lightning.rewards.units import Unit
from igpo_lightning.rewards.values import exact

_TIMES = frozenset(["*", "\\times", "\\cdot"])
_MOST_TERMS = 30


def computed(tokens: Tokens) -> Amount | None:
    """Sums of amounts of one unit, $48 + $24, and products and quotients of amounts, 3 * $5; else None."""
    found = _between(tokens, frozenset("+-"), _product)
    if found is None or len(found) < 2:
        return _product(tokens)
    units = [term.unit for _, term in found]
    if any(unit is None or not _alike(unit, units[0]) for unit in units):
        return None
    trees = [("neg", term.tree) if sign == "-" else term.tree for sign, term in found]
    return Amount(("add", *trees), units[0], loose=any(term.loose for _, term in found))


def _product(tokens: Tokens) -> Amount | None:
    found = _between(tokens, _TIMES, _amount)
    if not found or (len(found) == 1 and found[0][1].unit is None):  # not the slash of km/h
        found = _between(tokens, _TIMES | {"/"}, _amount) or found
    if found is None or len(found) < 2:
        return found[0][1] if found else None
    tree = found[0][1].tree
    for sign, factor in found[1:]:
        tree = ("div" if sign == "/" else "mul", tree, factor.tree)
    units = [(sign, factor.unit) for sign, factor in found if factor.unit is not None]
    if any(name == "percent" for _, unit in units for name, _ in unit.powers):
        return None
    return Amount(tree, _combined(units), loose=any(factor.loose for _, factor in found))


def _combined(units: Sequence[tuple[str, Unit]]) -> Unit | None:
    """10 km/h * 3 h are km; None if things were counted, as 6 boxes * 12 clips count neither."""
    if len(units) == 1 and units[0][0] != "/":
        return units[0][1]
    powers: dict[str, int] = {}
    for sign, unit in units:
        for name, power in unit.powers:
            powers[name] = powers.get(name, 0) + (-power if sign == "/" else power)
    kept = tuple(sorted((name, power) for name, power in powers.items() if power))
    return Unit(kept) if kept and not any(unit.words for _, unit in units) else None


def congruent(left: Sequence[Node], right: Sequence[Node], modulus: Tree) -> bool:
    """False if both are numbers, and not the same modulo ``modulus``."""
    divisor = exact(modulus)
    here, there = (
        [value for node in side if isinstance(node, Amount) and (value := exact(node.tree)) is not None]
        for side in (left, right)
    )
    return not (here and there and divisor) or ((here[0] - there[0]) / divisor).denominator == 1


def _amount(tokens: Tokens) -> Amount | None:
    """The reading of 7 pins with a unit, not the one as a product of letters."""
    read = list(amounts(tokens))
    return next((amount for amount in read if amount.unit and not amount.loose), next(iter(read), None))


def _between(
    tokens: Tokens, signs: frozenset[str], read: Callable[[Tokens], Amount | None]
) -> list[tuple[str, Amount]] | None:
    """The amounts between ``signs``, each with the sign before it; None if a piece is no amount."""
    pieces, found = layout.split_at(tokens, signs)
    if len(pieces) > _MOST_TERMS or not all(pieces):
        return None
    read_pieces = zip(["", *found], map(read, pieces), strict=True)
    kept = [(sign, amount) for sign, amount in read_pieces if amount is not None and not amount.base]
    return kept if len(kept) == len(pieces) else None


def _alike(unit: Unit, other: Unit | None) -> bool:
    """True if amounts of both may be added: 4 clips and 5 more clips."""
    if other is None or unit.powers != other.powers:
        return False
    here, there = set(unit.words), set(other.words)
    return here <= there or there <= here


def mixed(tokens: Tokens) -> list[Amount]:
    """5 ft 6 in and 1 h 20 min: quantities side by side, cut before each number that follows a unit."""
    tokens = [_as_unit(tokens, at) for at in range(len(tokens))]
    cuts = [
        at
        for at in range(1, len(tokens))
        if tokens[at].kind == "number"
        and (tokens[at - 1].kind == "word" or tokens[at - 1].text in ("'", "\\degree"))
    ]
    if not cuts or len(cuts) > 3:
        return []
    pieces = [tokens[a:b] for a, b in zip([0, *cuts], [*cuts, len(tokens)], strict=True)]
    return combined([tuple(amounts(piece)) for piece in pieces])


def _as_unit(tokens: Tokens, at: int) -> Token:
    """The letter of a unit between two numbers, or behind the last one, as a word."""
    token = tokens[at]
    between = (
        at and tokens[at - 1].kind == "number" and (at + 1 == len(tokens) or tokens[at + 1].kind == "number")
    )
    letter = between and token.kind == "name" and unit_name(token.text) is not None
    return token._replace(kind="word", upright=True) if letter else token


def modulus_of(tokens: Tokens) -> tuple[Tokens, Tree] | None:
    """(tokens before, modulus) of "2 (mod 7)" in its spellings."""
    for at, token in enumerate(tokens):
        if at and token.text in ("\\pmod", "\\bmod", "\\mod", "mod"):
            before, after = tokens[:at], tokens[at + 1 :]
            if before[-1].text == "(" and after and after[-1].text == ")":
                before, after = before[:-1], after[:-1]
            return (before, tree) if (tree := tree_of(after)) is not None and before else None
    return None


def ratio_of(tokens: Tokens) -> Ratio | None:
    """3:2, 3 to 2, 3:45 p.m., 1:2:3."""
    tokens = list(tokens)
    half = ""
    while tokens and _of_half(tokens[-1]) and ":" in {t.text for t in tokens[:-1]}:
        half = tokens.pop().text.replace(".", "").lower() + half
        while tokens and tokens[-1].text == ".":
            tokens.pop()
    pieces, signs = layout.split_at(tokens, {":", "to"})
    terms = [tree for piece in pieces if (tree := tree_of(piece)) is not None]
    if not signs or half not in ("", "am", "pm") or len(terms) < len(pieces):
        return None
    if (worded := "to" in signs) and (half or None in map(exact, terms)):
        return None
    return Ratio(tuple(terms), tuple("".join(t.text for t in piece) for piece in pieces), half, worded)


def _of_half(token: Token) -> bool:
    """True for "a.m.", "PM" and their letters."""
    return token.kind in ("word", "name") and token.text.replace(".", "").lower() in ("am", "pm", *"apm")

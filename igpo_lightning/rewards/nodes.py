"""Values that an answer may have."""

from __future__ import annotations

from dataclasses import dataclass

from igpo_lightning.rewards.amounts import Amount
from igpo_lightning.rewards.trees import Tree


@dataclass(frozen=True)
class Words:
    """Text that is no number, in lower case and without marks."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Items:
    """Several answers.

    Attributes:
        shape: "list" and "set" have no order; brackets such as "()", "(]" and "\\langle\\rangle" have one,
            and so has "matrix", whose items are cells by row.
        items: The readings of each.
        width: Cells of a matrix row.
    """

    shape: str
    items: tuple[tuple[Node, ...], ...]
    width: int = 0


@dataclass(frozen=True)
class Option:
    """One of several choices: its letter, and readings of the text beside it, if any."""

    letter: str
    rest: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Relation:
    """A chain of sides and the signs between them."""

    sides: tuple[tuple[Node, ...], ...]
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Union:
    """Sets joined by one sign, ``\\cup`` or ``\\setminus``."""

    sets: tuple[tuple[Node, ...], ...]
    sign: str


@dataclass(frozen=True)
class Ratio:
    """Numbers between colons, which may be a time of day with its half ("am", "pm"), or the word "to"."""

    terms: tuple[Tree, ...]
    texts: tuple[str, ...]
    half: str = ""
    worded: bool = False


@dataclass(frozen=True)
class Remainder:
    """A value modulo another."""

    value: tuple[Node, ...]
    modulus: Tree


Node = Amount | Words | Items | Option | Relation | Union | Ratio | Remainder

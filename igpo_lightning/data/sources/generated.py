"""Base of sources whose problems are made from a seed, without end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import Lazy, Source, check_sizes
from igpo_lightning.seeding import derive, python_rng
from igpo_lightning.types import Problem

_TRIES = 10_000
_PATIENCE = 10  # draws in which none is new, for each problem known, before there are said to be no more

Made = tuple[str, Problem]
"""A problem, after a text that is the same for what counts as the same problem."""


def part_of(name: str, content: str, heldout: int = 5, val: int = 2) -> str:
    """The part that a problem belongs to, by a hash of its ``content``: whatever seed and sizes.

    One in ``heldout`` is held out, for "val" or "test"; one in ``val`` of these is for "val".
    """
    draw = derive(name, "split", content)
    if draw % heldout:
        return "train"
    return "test" if draw // heldout % val else "val"


def different(part: str, size: int, make: Callable[[int], Made]) -> tuple[Problem, ...]:
    """The first ``size`` of ``make(0)``, ``make(1)``, ... that are all different.

    A repeated problem tells nothing new, but would make an accuracy look surer than it is.

    Args:
        part: "val" or "test", for the message.

    Raises:
        ConfigError: There don't seem to be so many.
    """
    found: dict[str, Problem] = {}
    repeated = 0  # draws since the last new one
    for index in count():
        if len(found) == size or repeated > _PATIENCE * (len(found) + 1):
            break
        content, problem = make(index)
        repeated = 0 if found.setdefault(content, problem) is problem else repeated + 1
    if len(found) < size:
        raise ConfigError(
            f"data.{part}_size={size}: there are only about {len(found)} different {part} problems of "
            "these settings; lower it, or allow larger ones"
        )
    return tuple(found.values())


class Generated(Source, ABC):
    """Base of sources whose problems belong to a part by a hash of their content, see :func:`part_of`.

    So no run with such a source trains on what another holds out. Training problems are made when asked for;
    held-out ones are all different.

    Args:
        seed: Names the draw of training problems.
        split_seed: Names the draw of held-out problems.
    """

    disjoint = True

    def __init__(
        self, train_size: int, val_size: int, test_size: int, seed: int = 0, split_seed: int = 0
    ) -> None:
        check_sizes(train_size, val_size, test_size, all_allowed=False)
        self.seed, self.split_seed, self.dropped = seed, split_seed, {}
        self.train = Lazy(train_size, lambda index: self.made("train", seed, index)[1])
        self.val, self.test = (
            different(part, size, partial(self.made, part, split_seed))
            for part, size in (("val", val_size), ("test", test_size))
        )

    @abstractmethod
    def made(self, part: str, seed: int, index: int) -> Made:
        """Problem number ``index`` of ``part``, with its content."""


class Drawn(Generated):
    """Base of sources that draw until there is a problem of the part that is asked for.

    A subclass says how to :meth:`draw` a problem, what is the same problem (:meth:`content`), and what it
    says (:meth:`make`).
    """

    @abstractmethod
    def draw(self, rng: Random) -> Any | None:
        """Whatever makes a problem; None if these numbers make none."""

    @abstractmethod
    def content(self, drawn: Any) -> str:
        """A text that is the same for what counts as the same problem."""

    @abstractmethod
    def make(self, id: str, drawn: Any) -> Problem | None:
        """The problem in words; None if it is not a good one."""

    def made(self, part: str, seed: int, index: int) -> Made:
        rng = python_rng(seed, self.name, part, index)
        for _ in range(_TRIES):
            drawn = self.draw(rng)
            if drawn is None or part_of(self.name, content := self.content(drawn)) != part:
                continue
            if (problem := self.make(f"{self.name}/{part}/{index}", drawn)) is not None:
                return content, problem
        raise ConfigError(
            f"data.source: {_TRIES:,} draws gave no {part} problem of this size; allow larger ones"
        )

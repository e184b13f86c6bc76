"""What every data source offers, and the few helpers they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import overload

from igpo_lightning.checks import ConfigError
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem


class Source(ABC):
    """Problems to train on and problems to hold out. Both are sequences with a fixed order.

    Attributes:
        name: First part of every problem id.
        dropped: Rows of the original data that were left out, by reason.
    """

    name: str
    dropped: dict[str, int]

    @property
    @abstractmethod
    def train(self) -> Sequence[Problem]:
        """Problems to learn from."""

    @property
    @abstractmethod
    def heldout(self) -> Sequence[Problem]:
        """Problems never trained on."""

    def corpus(self) -> Iterator[str]:
        """Texts a tokenizer may be trained on: training prompts and traces, never held-out ones."""
        for problem in self.train:
            yield problem.prompt
            yield problem.trace

    def vocabulary(self) -> list[str]:
        """All space-separated words a word-level tokenizer needs, sorted."""
        return sorted({word for text in self.corpus() for word in text.split()})


class TableSource(Source):
    """A source whose problems are all in memory.

    Args:
        name: First part of every problem id.
        train: Problems to train on; those with a held-out prompt are dropped and counted.
        heldout: Problems to hold out.
        train_size, heldout_size: At most so many of either, see :func:`subset`; null takes all.
        seed: Names the choice.
        dropped: What was left out before, by reason.
    """

    def __init__(
        self,
        name: str,
        train: Sequence[Problem],
        heldout: Sequence[Problem],
        *,
        train_size: int | None = None,
        heldout_size: int | None = None,
        seed: int = 0,
        dropped: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self._heldout = tuple(subset(heldout, heldout_size, seed))
        kept, repeated = without(train, self._heldout)
        self._train = tuple(subset(kept, train_size, seed))
        self.dropped = {**(dropped or {}), **({"held-out prompt": repeated} if repeated else {})}

    @property
    def train(self) -> Sequence[Problem]:
        return self._train

    @property
    def heldout(self) -> Sequence[Problem]:
        return self._heldout


class LazyProblems(Sequence[Problem]):
    """``size`` problems, each made by ``make(index)`` when first asked for, then kept."""

    def __init__(self, size: int, make: Callable[[int], Problem]) -> None:
        self._size = size
        self._make = make
        self._made: dict[int, Problem] = {}

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> Problem: ...

    @overload
    def __getitem__(self, index: slice) -> list[Problem]: ...

    def __getitem__(self, index: int | slice) -> Problem | list[Problem]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._size))]
        position = range(self._size)[index]  # negative indices and IndexError as for a list
        if position not in self._made:
            self._made[position] = self._make(position)
        return self._made[position]


def check_sizes(train_size: int | None, heldout_size: int | None, all_allowed: bool = True) -> None:
    """Raise ConfigError unless both are non-negative integers or, where allowed, None ("all")."""
    for key, size in (("train_size", train_size), ("heldout_size", heldout_size)):
        if size is None and all_allowed:
            continue
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            wanted = "a whole number of problems" + (" or null for all" if all_allowed else "")
            raise ConfigError(f"data.source.{key}={size}: expected {wanted}")


def subset(problems: Sequence[Problem], size: int | None, seed: int) -> list[Problem]:
    """``size`` problems in their original order, chosen by their prompt; all if ``size`` is None.

    The choice depends on the prompts and the seed only, not on the order of the rows, and a smaller
    subset is contained in a larger one.
    """
    if size is None or size >= len(problems):
        return list(problems)
    ranked = sorted(range(len(problems)), key=lambda i: derive(seed, "subset", problems[i].prompt))
    return [problems[i] for i in sorted(ranked[:size])]


def hold_out(
    problems: Sequence[Problem],
    heldout_size: int | None,
    seed: int,
    by: Callable[[Problem], str] = attrgetter("prompt"),
) -> tuple[list[Problem], list[Problem]]:
    """(train, heldout) such that no prompt is in both, even if the data repeats one.

    Repeated prompts go to the same side, so held-out may come out a few rows larger than asked.

    Args:
        problems: All of them.
        heldout_size: Number of different prompts to hold out, chosen by their text.
        seed: Names the choice.
        by: What counts as the prompt: problems for which it is the same stay together.

    Raises:
        ConfigError: There are not so many, or ``heldout_size`` is null.
    """
    if heldout_size is None:
        raise ConfigError(
            "data.source.heldout_size=null: expected a whole number of problems, for nothing else says "
            "which ones to hold out"
        )
    prompts = sorted({by(p) for p in problems}, key=lambda text: derive(seed, "split", text))
    if heldout_size >= len(prompts):
        raise ConfigError(
            f"data.source.heldout_size: {heldout_size} asked, but the data has only {len(prompts)} "
            "different prompts and some must remain for training"
        )
    held = set(prompts[:heldout_size])
    return [p for p in problems if by(p) not in held], [p for p in problems if by(p) in held]


def without(problems: Iterable[Problem], other: Iterable[Problem]) -> tuple[list[Problem], int]:
    """``problems`` whose prompt is not in ``other``, and how many were taken out."""
    taken = {p.prompt for p in other}
    rows = list(problems)
    kept = [p for p in rows if p.prompt not in taken]
    return kept, len(rows) - len(kept)

"""Base of data sources: problems in three splits, and helpers that several sources use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from igpo_lightning.amounts import is_int
from igpo_lightning.checks import ConfigError
from igpo_lightning.data.splits import content, hold_out, sample, without
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem

_Item = TypeVar("_Item")

VAL_SIZE, TEST_SIZE = 128, 512
"""Problems that are held out where nothing else is said."""

HELD_OUT = "held-out problem again"


class Source:
    """Problems to train on, to choose by and to report on; three sequences with a fixed order.

    Attributes:
        name: First part of every problem id.
        split_seed: Names the choice of what is held out; the same for all runs.
        train: Problems to learn from.
        val: Problems never trained on, by which checkpoints and settings are chosen.
        test: Problems neither trained on nor chosen by.
        disjoint: True if what may be held out is told from a problem's content alone, whatever seed and
            sizes: no run with such a source can train on a held-out problem of another.
        dropped: Rows of the original data that were left out, by reason.
    """

    name: str
    split_seed: int
    train: Sequence[Problem]
    val: Sequence[Problem]
    test: Sequence[Problem]
    disjoint: bool = False
    dropped: dict[str, int]

    def corpus(self) -> Iterator[str]:
        """Texts a tokenizer may be trained on: training prompts and traces, never held-out ones."""
        for problem in self.train:
            yield problem.prompt
            yield problem.trace

    def vocabulary(self) -> list[str]:
        """All space-separated words a word-level tokenizer needs, sorted."""
        return sorted({word for text in self.corpus() for word in text.split()})


class TableSource(Source):
    """A source whose problems are all in memory; a subclass reads them, and then calls :meth:`split`.

    Args:
        val_size: Number of validation problems, drawn from the training set's.
        test_size: Number of test problems; of a set of its own at most so many, and null takes all.
        train_size: At most so many training problems, see :func:`subset`; null takes all.
        split_seed: Names all of these choices.
    """

    def __init__(
        self,
        *,
        val_size: int = VAL_SIZE,
        test_size: int | None = TEST_SIZE,
        train_size: int | None = None,
        split_seed: int = 0,
    ) -> None:
        check_sizes(train_size, val_size, test_size)
        self.train_size, self.val_size, self.test_size = train_size, val_size, test_size
        self.split_seed = split_seed

    def split(
        self,
        problems: Sequence[Problem],
        test: Sequence[Problem] | None = None,
        by: Callable[[Problem], str] = content,
        dropped: Mapping[str, int] | None = None,
        test_name: str = "the test set of the data",
    ) -> None:
        """Split ``problems``.

        Args:
            test: The data's own test set, never trained on or chosen by; without one, test problems are
                drawn from ``problems``, too.
            by: What counts as the problem: problems for which it is the same stay together.
            dropped: What was left out before, by reason.
            test_name: What ``test`` is called in a message.

        Raises:
            ConfigError: There are not so many problems.
        """
        test_size, split_seed = self.test_size, self.split_seed
        if test is None:
            if test_size is None:
                raise ConfigError(
                    "data.test_size=null: expected a whole number of problems, for this data has no test set "
                    "of its own"
                )
            held, rest, twins = hold_out(problems, test_size, split_seed, "test", by)
        else:
            held = sample(test, test_size, split_seed, "test")
            rest, twins = without(problems, test)
            if twins and len(rest) <= self.val_size:
                raise ConfigError(
                    f"{test_name}: {twins:,} of the {len(problems):,} training rows stand in it, too, and so "
                    f"only {len(rest):,} are left to train on and for data.val_size={self.val_size}"
                )
        val, rest, more = hold_out(rest, self.val_size, split_seed, "val", by)
        self.test, self.val = tuple(held), tuple(val)
        self.train = tuple(subset(rest, self.train_size, split_seed))
        self.dropped = dict(dropped or {})
        if twins + more:
            self.dropped[HELD_OUT] = self.dropped.get(HELD_OUT, 0) + twins + more


class Lazy(Sequence[_Item]):
    """``size`` items, such as problems, each made by ``make(index)`` when first asked for, then kept."""

    def __init__(self, size: int, make: Callable[[int], _Item]) -> None:
        self._indices, self._make = range(size), cache(make)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int | slice) -> _Item | list[_Item]:
        if isinstance(index, slice):
            return [self._make(i) for i in self._indices[index]]
        return self._make(self._indices[index])


def check_sizes(train_size: Any, val_size: Any, test_size: Any, all_allowed: bool = True) -> None:
    """Raise ConfigError unless all are non-negative integers or, where allowed, None ("all")."""
    sizes: dict[str, Any] = {"source.train_size": train_size, "val_size": val_size, "test_size": test_size}
    for key, size in sizes.items():
        may_be_all = all_allowed and key != "val_size"
        wrong = not is_int(size) or size < 0
        if wrong and not (size is None and may_be_all):
            wanted = "a whole number of problems" + (" or null for all" if may_be_all else "")
            raise ConfigError(f"data.{key}={size}: expected {wanted}")


def first_of_each(problems: Iterable[Problem], dropped: Counter[str]) -> list[Problem]:
    """The first problem of each prompt; the others are counted in ``dropped``."""
    found: dict[str, Problem] = {}
    for problem in problems:
        if found.setdefault(problem.prompt, problem) is not problem:
            dropped["repeated question"] += 1
    return list(found.values())


def subset(problems: Sequence[Problem], size: int | None, seed: int) -> list[Problem]:
    """``size`` problems in their original order, chosen by their prompt; all if ``size`` is None.

    The choice depends on the prompts and the seed only, not on the order of the rows, and a smaller
    subset is contained in a larger one.
    """
    if size is None or size >= len(problems):
        return list(problems)
    ranked = sorted(range(len(problems)), key=lambda i: derive(seed, "subset", problems[i].prompt))
    return [problems[i] for i in sorted(ranked[:size])]

"""Choice of held-out problems: a function of their texts and ``data.split_seed``, never of the run's seed.

Validation and test problems are drawn at random, each level and subject in proportion. The draw depends
neither on the order of the rows nor on the sizes that are asked for elsewhere: a problem's rank is a hash.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from igpo_lightning.checks import ConfigError
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem

STRATA = ("subject", "level", "type")
"""Entries of ``meta`` that a draw keeps in proportion, as far as problems have them."""

Key = Callable[[Problem], str]


def content(problem: Problem) -> str:
    """A text that is the same for the same problem: to Countdown, numbers in another order are."""
    return json.dumps(problem.task, sort_keys=True) if problem.task else problem.prompt


def hold_out(
    problems: Sequence[Problem],
    size: int,
    split_seed: int,
    purpose: str,
    by: Key = content,
) -> tuple[list[Problem], list[Problem], int]:
    """(held out, the rest, rows that are in neither) of ``problems``.

    Of problems that are one by ``by``, up to case and spacing, one is held out and the others are left
    out, so that sizes are exact and no held-out problem is trained on.

    Args:
        size: How many different problems to hold out.
        split_seed, purpose: Name the draw.
        by: What counts as the problem.

    Raises:
        ConfigError: There are not so many.
    """
    alike: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        alike[normalised(by(problem))].append(problem)
    if size and size >= len(alike):
        raise ConfigError(
            f"data.{purpose}_size={size}: the data has only {len(alike)} different problems left to hold out "
            "from, and some must remain for training; lower data.val_size and data.test_size"
        )
    units = {key: min(rows, key=lambda p: (p.trace, p.answer, p.prompt)) for key, rows in alike.items()}
    taken = draw(units, size, split_seed, purpose)
    held = set(taken)
    rest = [problem for problem in problems if normalised(by(problem)) not in held]
    return [units[key] for key in taken], rest, len(problems) - len(rest) - len(taken)


def draw(units: dict[str, Problem], size: int, split_seed: int, purpose: str) -> list[str]:
    """``size`` keys of ``units`` in random order, strata in proportion (by largest remainders)."""
    rank = {key: derive(split_seed, "split", purpose, key) for key in units}
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for key, problem in units.items():
        strata[stratum(problem)].append(key)
    chosen: list[str] = []
    for name, count in _shares({n: len(keys) for n, keys in strata.items()}, size, split_seed).items():
        chosen += sorted(strata[name], key=rank.__getitem__)[:count]
    return sorted(chosen, key=rank.__getitem__)


def sample(problems: Sequence[Problem], size: int | None, split_seed: int, purpose: str) -> list[Problem]:
    """At most ``size`` different problems of a set that is held out as a whole; all, in order, if None."""
    units = {normalised(content(problem)): problem for problem in reversed(problems)}  # the first row of each
    if size is None or size >= len(units):
        return list(reversed(units.values()))
    return [units[key] for key in draw(units, size, split_seed, purpose)]


def without(problems: Iterable[Problem], other: Iterable[Problem]) -> tuple[list[Problem], int]:
    """``problems`` that are not in ``other`` up to case and spacing, and how many were taken out."""
    taken = {normalised(content(p)) for p in other}
    rows = list(problems)
    kept = [p for p in rows if normalised(content(p)) not in taken]
    return kept, len(rows) - len(kept)


def stratum(problem: Problem) -> tuple[str, ...]:
    """The group that a draw keeps in proportion."""
    return tuple(str(problem.meta.get(name, "")) for name in STRATA)


def normalised(text: str) -> str:
    """``text`` in one Unicode form and one case, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def digest(problem: Problem) -> str:
    """16 hex digits that name a problem whatever file and row it stands in."""
    return hashlib.blake2b(normalised(content(problem)).encode(), digest_size=8).hexdigest()


def _shares(sizes: dict[tuple[str, ...], int], size: int, split_seed: int) -> dict[tuple[str, ...], int]:
    """``size`` shared out in proportion to ``sizes``; what rounding leaves goes to the largest remainders."""
    total = sum(sizes.values())
    exact = {name: divmod(size * count, total) for name, count in sizes.items()}
    left = size - sum(whole for whole, _ in exact.values())
    by_remainder = sorted(exact, key=lambda name: (-exact[name][1], derive(split_seed, "remainder", *name)))
    return {name: exact[name][0] + (name in by_remainder[:left]) for name in exact}

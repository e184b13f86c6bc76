"""From judged completions to figures: accuracy with its interval, pass@k, lengths, tables by group."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ..reporting.summary import Accuracy
from .store import Generation


@dataclass(frozen=True)
class Score:
    """Mean accuracy over problems, each counting the same, with a 95 % interval."""

    problems: int
    completions: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """Result of one benchmark.

    Attributes:
        metric: "pass@1", or "avg@k" where every problem has k completions.
        expected: Completions that were asked for; more than ``score.completions`` if some are missing.
        pass_at: k → unbiased pass@k, for powers of two up to the completions per problem.
        tokens: Mean length of a completion.
        filled: Share of completions that filled the canvas without an end.
        unanswered: Share of completions that state no final answer.
        groups: "level" → "5" → its score.
    """

    name: str
    metric: str
    score: Score
    expected: int
    pass_at: dict[int, float]
    tokens: float
    filled: float
    unanswered: float
    groups: dict[str, dict[str, Score]]


def summarise(name: str, rows: Sequence[Generation], expected: int | None = None) -> Result:
    """The figures of a benchmark's judged completions (at least one)."""
    verdicts = _by_problem(rows)
    fewest = min(map(len, verdicts))
    most = max(map(len, verdicts))
    return Result(
        name=name,
        metric="pass@1" if most == 1 else f"avg@{most}",
        score=score(rows),
        expected=len(rows) if expected is None else expected,
        pass_at={k: fmean(pass_at_k(len(v), sum(v), k) for v in verdicts) for k in _powers(fewest)},
        tokens=fmean(row.tokens for row in rows),
        filled=fmean(not row.ended for row in rows),
        unanswered=fmean(row.answer is None for row in rows),
        groups=_by_group(rows),
    )


def score(rows: Iterable[Generation]) -> Score:
    """Mean over problems, and an interval that takes problems, not completions, as the sample.

    Completions of one problem resemble each other, so n problems with k completions are worth less than
    n·k problems. Wilson's interval is taken at the effective sample size, the number of independent
    completions whose mean has the variance that is observed between problems,
    n_eff = n · p(1 - p) / Var(problem means), as for cluster samples (Korn and Graubard, Survey
    Methodology 24, 1998). It lies between n and n·k: one completion per problem gives Wilson's own
    interval, and where nothing can be estimated (all right or all wrong) n is taken.
    """
    verdicts = _by_problem(rows)
    means = [fmean(v) for v in verdicts]
    accuracy, problems, completions = fmean(means), len(means), sum(map(len, verdicts))
    spread = fmean((mean - accuracy) ** 2 for mean in means)
    effective: float = problems
    if 0 < accuracy < 1:
        independent = accuracy * (1 - accuracy)
        ratio = independent / spread if spread > 0 else math.inf
        effective = min(max(problems * ratio, problems), completions)
    size: Any = effective  # a share of problems may be counted
    interval = Accuracy(accuracy, size).interval()
    assert interval is not None
    low, high = interval
    return Score(problems, completions, accuracy, low, high)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k of n completions, drawn without repetition, hold a correct one.

    The unbiased estimate of arXiv 2107.03374, equation 1.
    """
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def _by_problem(rows: Iterable[Generation]) -> list[list[bool]]:
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        verdicts[row.id].append(bool(row.correct))
    return list(verdicts.values())


def _by_group(rows: Sequence[Generation]) -> dict[str, dict[str, Score]]:
    members: dict[str, dict[str, list[Generation]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for group, value in row.groups.items():
            members[group][value].append(row)
    return {
        group: {value: score(values[value]) for value in sorted(values)} for group, values in members.items()
    }


def _powers(limit: int) -> list[int]:
    return [2**i for i in range(limit.bit_length()) if 2**i <= limit]

"""From judged completions to figures: accuracy with its interval, pass@k, lengths, tables by group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from ..reporting.summary import wilson
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
    """Figures of one benchmark; ``tokens``, ``filled`` and ``unanswered`` are means over completions."""

    name: str
    metric: str  # "pass@1", or "avg@k" where every problem has k completions
    score: Score
    expected: int  # completions that were asked for; more than score.completions if some are missing
    pass_at: dict[int, float]  # k → unbiased pass@k, for powers of two up to the completions per problem
    tokens: float
    filled: float  # share that filled the canvas without an end
    unanswered: float  # share that states no final answer
    groups: dict[str, dict[str, Score]]  # "level" → "5" → its score
    further: int = 0  # completions in the folder that were not asked for; not in these figures


def summarise(name: str, rows: Sequence[Generation], expected: int | None = None, further: int = 0) -> Result:
    """The figures of a benchmark's judged completions (at least one).

    Args:
        expected: As many were asked for; None: these.
        further: As many more lie beside them.
    """
    table, groups = table_of(rows), pd.DataFrame([row.groups for row in rows])
    by_problem: Any = table.groupby("id")["correct"]
    right = list(zip(by_problem.size().tolist(), by_problem.sum().tolist(), strict=True))
    powers = [2**i for i in range(min(n for n, _ in right).bit_length())]
    most = max(n for n, _ in right)
    tokens, filled, unanswered = table[["tokens", "filled", "unanswered"]].mean().tolist()
    return Result(
        name=name,
        metric="pass@1" if most == 1 else f"avg@{most}",
        score=score(table),
        expected=len(rows) if expected is None else expected,
        pass_at={k: fmean(pass_at_k(n, correct, k) for n, correct in right) for k in powers},
        tokens=tokens,
        filled=filled,
        unanswered=unanswered,
        groups={
            str(group): {str(value): score(part) for value, part in table.groupby(groups[group])}
            for group in groups
        },
        further=further,
    )


def table_of(rows: Sequence[Generation]) -> pd.DataFrame:
    """The part of judged completions that figures are made of."""
    return pd.DataFrame(
        [(row.id, bool(row.correct), row.tokens, not row.ended, row.answer is None) for row in rows],
        columns=["id", "correct", "tokens", "filled", "unanswered"],
    )


def score(table: pd.DataFrame) -> Score:
    """Mean over problems, and an interval that takes problems, not completions, as the sample.

    Completions of one problem resemble each other, so n problems with k completions are worth less than
    n·k problems. Wilson's interval is taken at the effective sample size, the number of independent
    completions whose mean has the variance that is observed between problems,
    n_eff = n · p(1 - p) / Var(problem means), as for cluster samples (Korn and Graubard, Survey
    Methodology 24, 1998). It lies between n and n·k: one completion per problem gives Wilson's own
    interval, and where nothing can be estimated (all right or all wrong) n is taken.

    """
    means: Any = table.groupby("id")["correct"].mean()
    accuracy, spread = float(means.mean()), float(means.var(ddof=0))
    effective: float = len(means)
    if 0 < accuracy < 1:
        ratio = accuracy * (1 - accuracy) / spread if spread > 0 else math.inf
        effective = min(max(len(means) * ratio, len(means)), len(table))
    low, high = wilson(accuracy, effective)
    return Score(len(means), len(table), accuracy, low, high)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Chance that k of n completions, drawn without repetition, hold a correct one.

    The unbiased estimate of arXiv 2107.03374, equation 1.
    """
    return 1 - math.comb(n - correct, k) / math.comb(n, k)

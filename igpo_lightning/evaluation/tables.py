"""Results as Markdown tables that are also aligned plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transformers.utils import flatten_dict

from ..reporting.table import aligned, percent
from .results import Result, Score


def overview(results: Iterable[Result]) -> str:
    """One line for each benchmark."""
    head = ["benchmark", "metric", "accuracy", "95 % interval", "problems", "tokens", "cut off", "no answer"]
    rows = [
        [r.name, r.metric, *_cells(r.score), f"{r.tokens:.0f}", percent(r.filled), percent(r.unanswered)]
        for r in results
    ]
    return aligned([head, *rows])


def remarks(results: Iterable[Result], expected: Mapping[str, int]) -> list[str]:
    """Lines about completions that were asked for and are not there, and about others that are."""
    found, lines = {result.name: result for result in results}, []
    for name, count in expected.items():
        result = found.get(name)
        have = result.score.completions if result else 0
        if have < count:
            lines.append(f"{name} is incomplete: {have:,} of {count:,} completions.")
        if result and result.further:
            lines.append(
                f"{name}: the folder holds {result.further:,} more completions, which were not asked for and "
                "are not in these figures."
            )
    return lines


def page(results: Sequence[Result], identity: Mapping[str, Any], said: Iterable[str] = ()) -> str:
    """The whole of ``results.md``, with the remarks that were made."""
    notes = [
        "Intervals are Wilson's, with problems as the independent units. Cut off: completions that filled "
        "the canvas without an end.",
        *said,
    ]
    sections = []
    for result in results:
        if len(result.pass_at) > 1:
            rows = ([f"pass@{k}", percent(value)] for k, value in result.pass_at.items())
            sections += [f"## {result.name}: pass@k", aligned([["", "of problems"], *rows])]
        for group, scores in result.groups.items():
            rows = ([name, *_cells(score)] for name, score in scores.items())
            head = [group, "accuracy", "95 % interval", "problems"]
            sections += [f"## {result.name} by {group}", aligned([head, *rows])]
    facts = ([key, str(value)] for key, value in flatten_dict(dict(identity)).items())
    parts = ["# Evaluation", overview(results), "\n".join(notes), *sections]
    parts += ["## What was evaluated", aligned([["", ""], *facts]), "Versions and machines: manifest.json."]
    return "\n\n".join(parts) + "\n"


def _cells(score: Score) -> list[str]:
    interval = f"{100 * score.low:.1f} to {100 * score.high:.1f}"
    return [percent(score.accuracy), interval, f"{score.problems:,}"]

"""Results as Markdown tables that are also aligned plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..reporting.table import percent
from .results import Result, Score


def overview(results: Iterable[Result]) -> str:
    """One line for each benchmark."""
    head = ["benchmark", "metric", "accuracy", "95 % interval", "problems", "tokens", "cut off", "no answer"]
    rows = [
        [
            result.name,
            result.metric,
            percent(result.score.accuracy),
            _interval(result.score),
            f"{result.score.problems:,}",
            f"{result.tokens:.0f}",
            percent(result.filled),
            percent(result.unanswered),
        ]
        for result in results
    ]
    return _table(head, rows)


def page(results: Sequence[Result], identity: Mapping[str, Any]) -> str:
    """The whole of ``results.md``."""
    parts = ["# Evaluation", overview(results), "\n".join(_notes(results))]
    for result in results:
        if len(result.pass_at) > 1:
            rows = [[f"pass@{k}", percent(value)] for k, value in result.pass_at.items()]
            parts += [f"## {result.name}: pass@k", _table(["", "of problems"], rows)]
        for group, scores in result.groups.items():
            rows = [
                [name, percent(s.accuracy), _interval(s), f"{s.problems:,}"] for name, s in scores.items()
            ]
            parts += [
                f"## {result.name} by {group}",
                _table([group, "accuracy", "95 % interval", "problems"], rows),
            ]
    facts = [[key, str(value)] for key, value in leaves(identity).items()]
    parts += ["## What was evaluated", _table(["", ""], facts), "Versions and machines: manifest.json."]
    return "\n\n".join(part for part in parts if part) + "\n"


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(leaves(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _notes(results: Iterable[Result]) -> Iterable[str]:
    yield (
        "Intervals are Wilson's, with problems as the independent units. Cut off: completions that filled "
        "the canvas without an end."
    )
    for result in results:
        have = result.score.completions
        if have < result.expected:
            yield f"{result.name} is incomplete: {have:,} of {result.expected:,} completions."


def _interval(score: Score) -> str:
    return f"{100 * score.low:.1f} to {100 * score.high:.1f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    wide = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [
        "| " + " | ".join(f"{cell:<{w}}" for cell, w in zip(row, wide, strict=True)) + " |"
        for row in [head, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in wide) + "|")
    return "\n".join(lines)

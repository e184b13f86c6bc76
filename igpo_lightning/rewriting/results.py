"""The files of a rewriting, each written whole from what is known of the traces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from igpo_lightning.files import write_atomic
from igpo_lightning.rewriting.records import Trace
from igpo_lightning.rewriting.tally import Tally

CONCISE = "concise.jsonl"
REJECTED = "rejected.jsonl"
SUMMARY = "summary.json"


def write_rows(folder: Path, traces: Sequence[Trace]) -> None:
    """Write ``concise.jsonl`` and ``rejected.jsonl``, both in the order of ``traces``.

    A row of the first is {id, prompt, trace, answer, …meta}. One of the second says the reason and, if
    there is one, the last rewrite; traces that wait for an answer are among them.
    """
    write_atomic(folder / CONCISE, _lines(_kept_row(trace) for trace in traces if trace.kept))
    write_atomic(folder / REJECTED, _lines(_other_row(trace) for trace in traces if not trace.kept))


def write_summary(folder: Path, tally: Tally, how: Mapping[str, Any]) -> None:
    """Write ``summary.json``: the counts, and ``how`` they came about (settings, hashes, versions)."""
    seconds = tally.wall_seconds
    numbers = {
        "finished": tally.done == tally.total,
        "traces": tally.total,
        "kept": tally.kept,
        "kept_unchanged": tally.unchanged,
        "rejected": dict(tally.rejected.most_common()),
        "unanswered": tally.total - tally.done,
        "pass_rate": tally.kept / tally.done if tally.done else None,
        "answers": tally.answers,
        "answers_turned_down": dict(tally.turned_down.most_common()),
        "answers_without_token_counts": tally.uncounted,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "cost_usd": tally.cost,
        "seconds": round(seconds, 1),
        "sessions": len(tally.seconds),
        "completion_tokens_per_second": round(tally.completion_tokens / seconds, 1) if seconds else None,
    }
    write_atomic(folder / SUMMARY, json.dumps({**numbers, **how}, indent=2) + "\n")


def _kept_row(trace: Trace) -> dict[str, Any]:
    problem = trace.problem
    row = {"id": problem.id, "prompt": problem.prompt, "trace": trace.text, "answer": problem.answer}
    return {**row, **{name: value for name, value in problem.meta.items() if name not in row}}


def _other_row(trace: Trace) -> dict[str, Any]:
    problem, last = trace.problem, trace.last()
    return {
        "id": problem.id,
        "prompt": problem.prompt,
        "answer": problem.answer,
        "reason": trace.reason(),
        "detail": trace.failure or (last[1].told if last else ""),
        "attempts": len(trace.answers),
        "rewrite": last[0].text if last else None,
    }


def _lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        text = json.dumps(row, ensure_ascii=False, default=str) + "\n"
        yield text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text

"""The files of a rewriting: the data set, what was rejected, figures, and a page with a picture."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import indent
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from igpo_lightning.console import printable
from igpo_lightning.files import write_atomic
from igpo_lightning.reporting.picture import HINTED, INK, MUTED, OWN, RIGHT, WARN, drawn, leave_head
from igpo_lightning.reporting.table import aligned, duration, percent
from igpo_lightning.rewriting.journal import ORIGINAL, Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONCISE = "concise.jsonl"
_EXAMPLES = 3
_EXAMPLE_CHARS = 1500


def figures(
    traces: Sequence[Trace], attempts: int, prices: Mapping[str, float | None] = MappingProxyType({})
) -> dict[str, Any]:
    """Counts of what is known of ``traces``, over all sessions.

    Args:
        attempts: After how many rejected answers a trace is done.
        prices: US dollars per million tokens of "input" and "output"; None where it is not known.
    """
    kept = [verdict for trace in traces if (verdict := trace.kept)]
    rejected = Counter(trace.reason() for trace in traces if not trace.kept and not trace.is_open(attempts))
    answers = [answer for trace in traces for answer in trace.answers.values()]
    verdicts = [verdict for trace in traces for verdict in trace.verdicts.values()]
    turned_down = Counter(v.reason for v in verdicts if v.reason and v.attempt != ORIGINAL)
    read, written = sum(a.prompt_tokens or 0 for a in answers), sum(a.completion_tokens or 0 for a in answers)
    used = {"input": read, "output": written}
    priced = [(price, n) for kind, n in used.items() if (price := prices.get(kind))]
    last = {answer.session: answer.at for answer in sorted(answers, key=lambda answer: answer.at)}
    seconds, done = sum(last.values()), len(kept) + rejected.total()
    return {
        "finished": done == len(traces),
        "traces": len(traces),
        "unanswered": len(traces) - done,
        "kept": len(kept),
        "pass_rate": len(kept) / done if done else None,
        "kept_at_first_attempt": sum(verdict.attempt == 1 for verdict in kept),
        "kept_unchanged": sum(verdict.attempt == ORIGINAL for verdict in kept),
        "rejected": dict(rejected.most_common()),
        "tokens_of_originals": _spread(_lengths(traces)[0]),
        "tokens_of_kept": _spread(_lengths(traces)[1]),
        "answers": len(answers),
        "answers_turned_down": dict(turned_down.most_common()),
        "answers_without_token_counts": sum(None in (a.prompt_tokens, a.completion_tokens) for a in answers),
        "requests_failed": sum(trace.failure is not None for trace in traces),
        "prompt_tokens": read,
        "completion_tokens": written,
        "completion_tokens_per_second": round(written / seconds, 1) if seconds else None,
        "cost_usd": sum(price * n for price, n in priced) / 1e6 if priced else None,
        "seconds": round(seconds, 1),
        "sessions": len(last),
    }


def write_rows(folder: Path, traces: Sequence[Trace]) -> None:
    """Write ``concise.jsonl`` and ``rejected.jsonl``, both in the order of ``traces``.

    A row of the first is {id, prompt, trace, answer, …meta}. One of the second says the reason and, if
    there is one, the last rewrite; traces that wait for an answer are among them.
    """
    kept, others = [], []
    for trace in traces:
        problem, (rewrite, told) = trace.problem, trace.rejected or (None, "")
        row = {"id": problem.id, "prompt": problem.prompt, "trace": trace.text, "answer": problem.answer}
        if trace.kept:
            kept.append({**row, **problem.meta, **row})
            continue
        del row["trace"]
        why = {"reason": trace.reason(), "detail": trace.failure or told, "attempts": len(trace.answers)}
        others.append({**row, **why, "rewrite": rewrite})
    for name, rows in ((CONCISE, kept), ("rejected.jsonl", others)):
        lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        # Half a surrogate pair is no text.
        write_atomic(folder / name, (line.encode("utf-8", "replace").decode() for line in lines))


def write_report(
    folder: Path, title: str, traces: Sequence[Trace], found: Mapping[str, Any], length: int
) -> str:
    """Write ``report.md`` and ``report.png``, and return the table of what was ``found``.

    Args:
        found: The figures, and texts that say how they came about.
        length: Canvas width in tokens.
    """
    text = table(title, found)
    _picture(folder / "report.png", title, traces, found, length)
    parts = [f"# {title}", text, "![report](report.png)", *_examples(traces)]
    write_atomic(folder / "report.md", "\n\n".join(parts) + "\n")
    return text


def table(title: str, found: Mapping[str, Any]) -> str:
    """A Markdown table that is also aligned plain text, of the figures that say something."""
    ways = {"pass_rate": percent, "seconds": duration, "cost_usd": "${:,.2f}".format}
    rows = [(title, "" if found["finished"] else "unfinished")]
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{number:,} {what}" for what, number in value.items())
        if value and name != "finished":
            shown = value if isinstance(value, str) else ways.get(name, "{:,}".format)(value)
            rows.append((name.replace("_", " "), shown))
    return aligned(rows)


def _lengths(traces: Sequence[Trace]) -> tuple[list[int], list[int]]:
    """Tokens of the originals that were judged, and of the kept traces."""
    before = [next(iter(trace.verdicts.values())).source_tokens for trace in traces if trace.verdicts]
    return before, [verdict.tokens for trace in traces if (verdict := trace.kept)]


def _spread(values: Sequence[int]) -> dict[str, int]:
    quantiles = np.quantile(values or [0], [0.5, 0.9, 1.0], method="higher").tolist()
    return dict(zip(("median", "90%", "longest"), quantiles, strict=True)) if values else {}


def _picture(path: Path, title: str, traces: Sequence[Trace], found: Mapping[str, Any], length: int) -> None:
    """Two panels into a PNG: lengths before and after, and what became of the traces."""
    with drawn(path, 11, 4.6) as figure:
        leave_head(figure, 0.84)
        figure.text(0.012, 0.97, title, fontsize=16, fontweight="bold", va="top")
        done, rate = found["traces"] - found["unanswered"], percent(found["pass_rate"]) or "none"
        line = f"{done:,} of {found['traces']:,} traces done, {rate} kept"
        figure.text(0.012, 0.895, line, fontsize=10.5, color=MUTED, va="top")
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _histograms(left, *_lengths(traces), length)
        _outcomes(right, found)


def _histograms(ax: Axes, before: Sequence[int], after: Sequence[int], length: int) -> None:
    """Lengths on a logarithmic axis: a verbose trace may be fifty times a concise one."""
    from matplotlib.ticker import LogLocator

    ax.set(title="Length of the traces", xlabel="tokens", ylabel="traces", xscale="log")
    shown = [*before, *after, length]
    edges = np.geomspace(0.9 * max(1, min(shown)), 1.1 * max(shown), 41).tolist()
    ax.hist(before, bins=edges, color=OWN, alpha=0.55, label="before")
    ax.hist(after, bins=edges, color=RIGHT, alpha=0.7, label="after, kept ones")
    ax.axvline(length - 1, color=INK, linewidth=1.4, linestyle=(0, (4, 3)), label=f"at most {length - 1}")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.minorticks_off()
    ax.legend(loc="best")


def _outcomes(ax: Axes, found: Mapping[str, Any]) -> None:
    """One bar per outcome, kept first."""
    unchanged = found["kept_unchanged"]
    bars = [("kept", found["kept"] - unchanged, RIGHT), ("kept as it was", unchanged, OWN)]
    bars += [(reason, number, WARN) for reason, number in found["rejected"].items()]
    bars += [("not done yet", found["unanswered"], HINTED)]
    names, numbers, colours = zip(*(bar for bar in bars if bar[1] or bar[0] == "kept"), strict=True)
    ax.set(title="What became of them", xlabel="traces", xlim=(0, max(1, *numbers) * 1.15))
    shown = ax.barh(names, numbers, color=colours, height=0.62)
    ax.bar_label(shown, fmt="{:,.0f}", padding=4, color=INK, fontsize=9)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(axis="y", visible=False)


def _examples(traces: Sequence[Trace]) -> Iterator[str]:
    """The first few rewrites beside their originals, for people."""
    kept = ((trace.problem, trace.kept, trace.text or "") for trace in traces)
    rewritten = [(p, verdict, text) for p, verdict, text in kept if verdict and verdict.attempt != ORIGINAL]
    if rewritten:
        yield "## Examples"
    for problem, verdict, rewrite in rewritten[:_EXAMPLES]:
        yield f"### `{printable(problem.id)}`: {verdict.source_tokens:,} → {verdict.tokens:,} tokens"
        for text in (problem.trace, rewrite):
            cut = text[:_EXAMPLE_CHARS] + (" […]" if len(text) > _EXAMPLE_CHARS else "")
            yield indent(printable(cut), "    ", lambda line: True)  # a block of code that no text can end

"""``report.md`` and ``report.png``: what a rewriting did, on one page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.files import write_atomic
from igpo_lightning.reporting.picture import HINTED, INK, MUTED, OWN, RIGHT, STYLE, WARN
from igpo_lightning.reporting.table import duration, percent
from igpo_lightning.rewriting.progress import count
from igpo_lightning.rewriting.records import ORIGINAL, Trace
from igpo_lightning.rewriting.tally import Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXAMPLES = 3
_EXAMPLE_CHARS = 1500
_BINS = 40


def write_report(
    folder: Path, title: str, traces: Sequence[Trace], tally: Tally, length: int, facts: Mapping[str, str]
) -> str:
    """Write both files and return the table.

    Args:
        length: Canvas width in tokens.
        facts: Further rows of the table.
    """
    text = table(title, traces, tally, length, facts)
    picture(folder / "report.png", title, traces, tally, length)
    parts = [f"# {title}", text, "![report](report.png)", *_examples(traces)]
    write_atomic(folder / "report.md", "\n\n".join(parts) + "\n")
    return text


def table(title: str, traces: Sequence[Trace], tally: Tally, length: int, facts: Mapping[str, str]) -> str:
    """A Markdown table that is also aligned plain text."""
    state = "" if tally.done == tally.total else "unfinished"
    rows = [(title, state), *_figures(traces, tally, length), *facts.items()]
    rows = [row for i, row in enumerate(rows) if row[1] or i == 0]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"| {name:<{wide[0]}} | {value:<{wide[1]}} |" for name, value in rows]
    lines.insert(1, f"|{'-' * (wide[0] + 2)}|{'-' * (wide[1] + 2)}|")
    return "\n".join(lines)


def _figures(traces: Sequence[Trace], tally: Tally, length: int) -> list[tuple[str, str]]:
    before, after = lengths(traces)
    waiting = tally.total - tally.done
    first = sum(1 for trace in traces if (kept := trace.kept) and kept.attempt == 1)
    seconds, sessions = tally.wall_seconds, len(tally.seconds)
    return [
        ("traces", f"{tally.total:,}" + (f" ({waiting:,} not done yet)" if waiting else "")),
        ("kept", f"{tally.kept:,}" + (f" ({percent(tally.kept / tally.done)})" if tally.done else "")),
        ("kept at the first attempt", f"{first:,}" if tally.answers else ""),
        ("kept as they were", f"{tally.unchanged:,}" if tally.unchanged else ""),
        *[(f"rejected: {reason}", f"{number:,}") for reason, number in tally.rejected.most_common()],
        ("tokens of the originals, median / 90% / longest", _spread(before)),
        (f"tokens of the kept ones (at most {length - 1})", _spread(after)),
        ("answers of the writer", f"{tally.answers:,}"),
        (
            "answers turned down",
            ", ".join(f"{n:,} {reason}" for reason, n in tally.turned_down.most_common()),
        ),
        ("writer's tokens", f"{count(tally.prompt_tokens)} in, {count(tally.completion_tokens)} out"),
        ("answers without token counts", f"{tally.uncounted:,}" if tally.uncounted else ""),
        ("cost", "" if tally.cost is None else f"${tally.cost:,.2f}"),
        ("wall time", duration(seconds) + (f" in {sessions} sessions" if sessions > 1 else "")),
        ("writer's speed", f"{tally.completion_tokens / seconds:,.0f} tokens/s" if seconds else ""),
    ]


def lengths(traces: Sequence[Trace]) -> tuple[list[int], list[int]]:
    """Tokens of the originals that were judged, and of the kept traces."""
    before = [trace.verdicts[-1].source_tokens for trace in traces if trace.verdicts]
    after = [verdict.tokens for trace in traces if (verdict := trace.kept)]
    return before, after


def _spread(values: Sequence[int]) -> str:
    if not values:
        return ""
    ranked = sorted(values)
    median, ninth = (ranked[min(len(ranked) - 1, int(share * len(ranked)))] for share in (0.5, 0.9))
    return f"{median:,} / {ninth:,} / {ranked[-1]:,}"


def picture(path: Path, title: str, traces: Sequence[Trace], tally: Tally, length: int) -> None:
    """Two panels into a PNG: lengths before and after, and what became of the traces."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        FigureCanvasAgg(figure)  # no window system, whatever backend the user has chosen
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, rect=(0, 0, 1, 0.84))
        figure.text(0.012, 0.97, title, fontsize=16, fontweight="bold", va="top")
        rate = percent(tally.kept / tally.done) if tally.done else "none"
        line = f"{tally.done:,} of {tally.total:,} traces done, {rate} kept"
        figure.text(0.012, 0.895, line, fontsize=10.5, color=MUTED, va="top")
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        _histograms(left, traces, length)
        _outcomes(right, tally)
        temporary = path.with_name(f".{path.name}.tmp")
        figure.savefig(temporary, dpi=150, format="png")
    temporary.replace(path)


def _histograms(ax: Axes, traces: Sequence[Trace], length: int) -> None:
    """Lengths on a logarithmic axis: a verbose trace may be fifty times a concise one."""
    ax.set(title="Length of the traces", xlabel="tokens", ylabel="traces")
    before, after = lengths(traces)
    low, high = min([*before, *after, length], default=1), max([*before, *after, length], default=1)
    low, high = math.log10(max(1, low) * 0.9), math.log10(high * 1.1)
    edges = [10 ** (low + (high - low) * i / _BINS) for i in range(_BINS + 1)]
    ax.hist(before, bins=edges, color=OWN, alpha=0.55, label="before")
    ax.hist(after, bins=edges, color=RIGHT, alpha=0.7, label="after, kept ones")
    ax.axvline(length - 1, color=INK, linewidth=1.4, linestyle=(0, (4, 3)))
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ticks = [n * 10**power for power in range(6) for n in (1, 2, 5)]
    ax.set_xticks([tick for tick in ticks if edges[0] <= tick <= edges[-1]])
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.minorticks_off()
    ax.set_ylim(top=ax.get_ylim()[1] * 1.12)
    right = math.log10(length) > (low + high) / 2  # the words go where there is room
    ax.annotate(
        f" at most {length - 1} ",
        (length - 1, ax.get_ylim()[1]),
        ha="right" if right else "left",
        va="top",
        color=INK,
        fontsize=9,
    )
    ax.legend(loc="best")


def _outcomes(ax: Axes, tally: Tally) -> None:
    """One bar per outcome, kept first."""
    ax.set(title="What became of them", xlabel="traces")
    rewritten = tally.kept - tally.unchanged
    waiting = tally.total - tally.done
    bars = [("kept", rewritten, RIGHT)]
    if tally.unchanged:
        bars.append(("kept as it was", tally.unchanged, OWN))
    bars += [(reason, number, WARN) for reason, number in tally.rejected.most_common()]
    if waiting:
        bars.append(("not done yet", waiting, HINTED))
    names, numbers, colours = zip(*bars, strict=True)
    drawn = ax.barh(range(len(bars)), numbers, color=colours, height=0.62)
    ax.bar_label(drawn, [f"{n:,}" for n in numbers], padding=4, color=INK, fontsize=9)
    ax.set_yticks(range(len(bars)), names, color=INK)
    ax.invert_yaxis()
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.grid(axis="y", visible=False)
    ax.set_xlim(right=max(1, *numbers) * 1.15)


def _examples(traces: Sequence[Trace]) -> Iterator[str]:
    """The first few rewrites beside their originals, for people."""
    rewritten = [trace for trace in traces if trace.kept and trace.kept.attempt != ORIGINAL]
    if rewritten:
        yield "## Examples"
    for trace in rewritten[:EXAMPLES]:
        verdict = trace.kept
        yield f"### `{_plain(trace.problem.id)}`: {verdict.source_tokens:,} → {verdict.tokens:,} tokens"
        yield _quoted(trace.problem.trace)
        yield _quoted(trace.text or "")


def _quoted(text: str) -> str:
    """As a fenced block whose fence the text cannot close."""
    text = _plain(text[:_EXAMPLE_CHARS] + (" […]" if len(text) > _EXAMPLE_CHARS else ""))
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def _plain(text: Any) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in str(text))

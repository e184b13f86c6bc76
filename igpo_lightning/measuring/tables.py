"""Results as tables: of the cases, of the seconds by phase, and of how cost grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from ..reporting.cells import rate
from ..reporting.table import aligned
from .rounds import PUBLISHED, Result

HEAD = (
    *("what", "case", "seconds", "spread", "× published", "by CPU time", "tokens/s"),
    *("forwards/token", "of GEMM", "memory", "of the work"),
)


def cases_table(results: Sequence[Result]) -> str:
    """A row for each contender."""
    return aligned([HEAD, *map(_row, results)])


def phases_table(results: Sequence[Result]) -> str:
    """Seconds by phase of those that have phases; empty if none has."""
    shown = [result for result in results if result.phases]
    if not shown:
        return ""
    names = list(dict.fromkeys(name for result in shown for name in result.phases))
    rows = [
        (r.what, r.name, *(seconds(r.phases[name]) if name in r.phases else "" for name in names))
        for r in shown
    ]
    return aligned([("what", "case", *names), *rows])


def notes(results: Sequence[Result]) -> str:
    """A line for each case that is more than its name says."""
    changed = [result for result in results if result.changes]
    return "\n".join(f"{r.what}, {r.name}: {', '.join(map(str, r.changes))}" for r in changed)


def growth_table(results: Sequence[Result]) -> str:
    """Seconds at the values of each size that was swept, and the power that they grow with, end to end."""
    rows: list[tuple[str, ...]] = [("size", "what", "case", "seconds at each value", "grows as")]
    for (key, what, name), line in growth(results).items():
        values = ", ".join(f"{value}: {seconds(result.seconds)}" for value, result in line)
        rows.append((key, what, name, values, _said(exponent(line), key)))
    return aligned(rows)


Line = list[tuple[int, Result]]


def growth(results: Iterable[Result]) -> dict[tuple[str, str, str], Line]:
    """(size, what, case) → its results at each value, in order."""
    lines: dict[tuple[str, str, str], Line] = {}
    for result in results:
        for key, value in result.point.items():
            lines.setdefault((key, result.what, result.name), []).append((value, result))
    return {key: sorted(line, key=lambda pair: pair[0]) for key, line in lines.items()}


def exponent(line: Line) -> float | None:
    """x where seconds are proportional to value^x, from the first to the last value."""
    (low, first), (high, last) = line[0], line[-1]
    if high == low:
        return None
    return math.log(last.seconds / first.seconds) / math.log(high / low)


def describe(record: dict[str, Any]) -> str:
    """The machine, the model and the sizes, in two lines."""
    machine, model = record["machine"], record["model"]
    sizes = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in record["sizes"].items())
    threads = f", threads {machine['threads']}" if machine["is_cpu"] else ""
    weights = f"{model['parameters'] / 1e6:,.1f}M parameters, {model['weights']} weights"
    return (
        f"{machine['device']}{threads}; {model['dtype']}, {weights}; "
        f"plain products {record['rate'] / 1e12:.3g} TFLOP/s\n{sizes}"
    )


def seconds(value: float) -> str:
    """Three digits."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.what,
        result.name,
        seconds(result.seconds),
        f"{100 * result.spread:.0f}%",
        _times(result, result.ratio),
        _times(result, result.cpu_ratio),
        rate(result.tokens_per_second),
        "" if result.forwards_per_token is None else f"{result.forwards_per_token:.2f}",
        "" if result.share is None else f"{100 * result.share:.0f}%",
        _size(result.memory),
        _size(result.memory_of_work),
    )


def _times(result: Result, ratio: float | None) -> str:
    return "" if ratio is None or result.name == PUBLISHED else f"{ratio:.2f}"


def _size(count: int | None) -> str:
    if count is None:
        return ""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _said(power: float | None, key: str) -> str:
    return "" if power is None else f"{key}^{power:.2f}"

"""One line that says how a rewriting goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from igpo_lightning.console import Cell, Line
from igpo_lightning.reporting.table import duration

_REFRESH = 0.5  # seconds, on a terminal


class Progress:
    """Shows figures while they grow: in place on a terminal, elsewhere a line every ``interval`` seconds.

    Args:
        figures: Gives those of :func:`~igpo_lightning.rewriting.report.figures`, as they are now.
        stream: Where to write; standard output if None.
    """

    def __init__(
        self, figures: Callable[[], dict[str, Any]], interval: float = 10.0, stream: TextIO | None = None
    ) -> None:
        self.figures, self.interval, self.line = figures, interval, Line(stream)
        self._started, self._before = time.monotonic(), figures()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the line within this context, and once more at its end."""
        self._started = time.monotonic()
        ticker = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()
            self.line.show(self.cells())
            self.line.end()

    def cells(self) -> list[Cell]:
        """The parts of the line; pace and ETA are those of this session."""
        now, before = self.figures(), self._before
        seconds = max(time.monotonic() - self._started, 1e-9)
        done, left = before["unanswered"] - now["unanswered"], now["unanswered"]
        tokens = now["completion_tokens"] - before["completion_tokens"]
        counts = f"tokens {count(now['prompt_tokens'])} in, {count(now['completion_tokens'])} out"
        cells = [
            Cell(f"{now['traces'] - left:,}/{now['traces']:,} traces"),
            Cell("" if now["pass_rate"] is None else f"kept {100 * now['pass_rate']:.0f}%", 1),
            Cell(f"{tokens / seconds:,.0f} tok/s" if tokens else ""),
            Cell(f"ETA {duration(left * seconds / done)}" if done and left else ""),
            Cell(counts, 4),
            Cell("" if now["cost_usd"] is None else f"${now['cost_usd']:,.2f}", 3),
            Cell(f"{now['requests_failed']:,} requests failed" if now["requests_failed"] else "", 2),
        ]
        return [cell for cell in cells if cell.text]

    async def _tick(self) -> None:
        spent = 0.0  # seconds; to count a hundred thousand traces takes some
        while True:
            await asyncio.sleep(max(_REFRESH, 20 * spent) if self.line.in_place else self.interval)
            started = time.monotonic()
            self.line.show(self.cells())
            spent = time.monotonic() - started


def count(tokens: int) -> str:
    """``1234567`` as ``1.2M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return str(tokens)

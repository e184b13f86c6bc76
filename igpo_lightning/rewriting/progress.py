"""One line that says how a rewriting goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from igpo_lightning.console import Cell, Line, join
from igpo_lightning.reporting.table import duration
from igpo_lightning.rewriting.tally import Tally

_REFRESH = 0.5  # seconds, on a terminal


class Progress:
    """Shows a tally while it grows: in place on a terminal, elsewhere a line every ``interval`` seconds.

    Args:
        interval: Seconds between two lines where there is no terminal.
        stream: Where to write; standard output if None.
    """

    def __init__(self, tally: Tally, interval: float = 10.0, stream: TextIO | None = None) -> None:
        self.tally, self.interval = tally, interval
        self._line = Line(stream)
        self._started = time.monotonic()
        self._before = (tally.done, tally.completion_tokens)  # of earlier sessions

    @contextmanager
    def running(self) -> Iterator[None]:
        """Show the line within this context, and once more at its end."""
        self._started = time.monotonic()
        self._before = (self.tally.done, self.tally.completion_tokens)
        ticker = asyncio.get_running_loop().create_task(self._tick())
        try:
            yield
        finally:
            ticker.cancel()
            self._line.show(self.cells())
            self._line.end()

    def say(self, text: str) -> None:
        """Print ``text`` for good, above the line."""
        self._line.print(text)

    def line(self) -> str:
        """The line as it is now; pace and ETA are those of this session."""
        return join(self.cells())

    def cells(self) -> list[Cell]:
        """The parts of the line."""
        tally = self.tally
        seconds = max(time.monotonic() - self._started, 1e-9)
        done, tokens = tally.done - self._before[0], tally.completion_tokens - self._before[1]
        left = tally.total - tally.done
        cells = [
            Cell(f"{tally.done:,}/{tally.total:,} traces"),
            Cell(f"kept {100 * tally.kept / tally.done:.0f}%" if tally.done else "", 1),
            Cell(f"{tokens / seconds:,.0f} tok/s" if tokens else ""),
            Cell(f"ETA {duration(left * seconds / done)}" if done and left else ""),
            Cell(f"tokens {count(tally.prompt_tokens)} in, {count(tally.completion_tokens)} out", 4),
            Cell("" if tally.cost is None else f"${tally.cost:,.2f}", 3),
            Cell(f"{tally.failed:,} requests failed" if tally.failed else "", 2),
        ]
        return [cell for cell in cells if cell.text]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH if self._line.in_place else self.interval)
            self._line.show(self.cells())


def count(tokens: int) -> str:
    """``1234567`` as ``1.2M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if tokens >= size:
            return f"{tokens / size:.1f}{unit}"
    return str(tokens)

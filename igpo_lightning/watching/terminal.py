"""A canvas in the terminal, redrawn in place at each step; elsewhere one line for each block."""

from __future__ import annotations

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from ..console import Cell, colours, join
from ..sampling.steps import Step
from .filling import Filling, Pieces, printable, take

_RAMP = (27, 33, 39, 45, 43, 42, 76, 112, 148, 184, 214, 208)  # of 256 colours: blue is early, orange late
_OFF, _HINT, _UNSURE, _EMPTY = "\x1b[0m", "\x1b[7m", "\x1b[4m", "\x1b[2m"
UNSURE_BELOW = 0.5  # tokens that were less likely are underlined
LEGEND = "blue: written early, orange: late; inverse: hint; underlined: less likely than 50 %; ·: empty"


@dataclass(frozen=True)
class Glyph:
    """Text that stands in one style."""

    text: str
    style: str = ""


class Terminal:
    """View of one completion at a time.

    Args:
        pieces: Text of single tokens.
        stop_ids: Tokens that end a completion.
        stream: Where to draw; standard output if None.
        clock: Seconds.
    """

    def __init__(
        self,
        pieces: Pieces,
        stop_ids: Sequence[int],
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.pieces, self.stop_ids, self.clock = pieces, stop_ids, clock
        self.out = stream or sys.stdout
        self.in_place = self.out.isatty()
        self.colour = colours()
        self._drawn = 0  # lines of the canvas that stand on the terminal

    def begin(self, filling: Filling, steps: int, block_length: int) -> None:
        """Show the question and the canvas as it is given.

        Args:
            filling: Holds the canvas; it is filled by :meth:`step`.
            steps: Denoising steps at most, for the colours.
            block_length: Tokens of a block.
        """
        self.filling, self.steps, self.block_length = filling, steps, block_length
        self.started, self.block, self._drawn = self.clock(), 0, 0
        self._write(printable(f"> {filling.asked.prompt}") + "\n")
        self._redraw(0)

    def step(self, step: Step) -> None:
        """Write a step into the canvas, and show it."""
        block = step.columns.start // self.block_length + 1
        if self.block and block != self.block and not self.in_place:
            self._write(self._line() + "\n")
        self.block = block
        take([self.filling], step)
        self._redraw(step.index + 1)

    def end(self) -> None:
        """Leave the canvas as it is, for good."""
        self._write("\n" if self.in_place else self._line() + "\n")

    def _redraw(self, step: int) -> None:
        if not self.in_place:
            return
        size = shutil.get_terminal_size()
        lines = wrapped(self._glyphs(), size.columns - 1)[-max(1, size.lines - 4) :]
        status = join(self._status(step), size.columns - 1)
        # Up to the first line that stands there, then over it; what is left of longer lines goes.
        start = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        self._write(start + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J" + status)
        self._drawn = len(lines)

    def _glyphs(self) -> Iterator[Glyph]:
        now = self.filling
        for i in range(now.cut(self.stop_ids)):
            text = printable(self.pieces.of(now.tokens[i]))
            if now.tokens[i] == now.mask_id:
                yield Glyph(" ·", _EMPTY)
            elif now.hint[i]:
                yield Glyph(text, _HINT)
            else:
                yield Glyph(text, self._style(now.steps[i], now.probabilities[i]))

    def _style(self, step: int, probability: float) -> str:
        if step < 0:
            return ""
        shade = _RAMP[min(step, self.steps - 1) * len(_RAMP) // self.steps]
        return (f"\x1b[38;5;{shade}m" if self.colour else "") + (
            _UNSURE if probability < UNSURE_BELOW else ""
        )

    def _status(self, step: int) -> list[Cell]:
        now, seconds = self.filling, self.clock() - self.started
        cells = [Cell(f"step {step}"), Cell(f"{now.filled} of {now.hint.count(False)} tokens", 1)]
        if seconds > 0 and now.filled:
            cells.append(Cell(f"{now.filled / seconds:.1f} tokens/s", 2))
        if (sure := now.sureness) is not None:
            cells.append(Cell(f"mean probability {100 * sure:.0f} %", 3))
        return cells

    def _line(self) -> str:
        now = self.filling
        text = "".join(
            " ·" if glyph.style == _EMPTY else f"[[{glyph.text}]]" if glyph.style == _HINT else glyph.text
            for glyph in self._glyphs()
        )
        text = text.replace("\n", "⏎").replace("]][[", "")
        return f"block {self.block} | {join(self._status(max(now.steps) + 1))} |{text}"

    def _write(self, text: str) -> None:
        encoding, errors = (getattr(self.out, name, None) for name in ("encoding", "errors"))
        encoding, errors = encoding or "utf-8", "replace" if errors in (None, "strict") else errors
        self.out.write(text.encode(encoding, errors).decode(encoding))
        self.out.flush()


def wrapped(glyphs: Iterator[Glyph], columns: int) -> list[str]:
    """Lines of at most ``columns`` cells, each with its styles begun and ended in it."""
    lines, used = [""], 0
    for glyph in glyphs:
        for number, part in enumerate(glyph.text.split("\n")):
            if number or used + cells_of(part) > columns:
                lines.append("")
                used = 0
                part = part if number else part.lstrip(" ")
            while cells_of(part) > columns:  # a token wider than the terminal
                lines[-1] = _styled(part[:columns], glyph.style)
                lines.append("")
                part = part[columns:]
            lines[-1] += _styled(part, glyph.style)
            used += cells_of(part)
    return lines


def _styled(text: str, style: str) -> str:
    return f"{style}{text}{_OFF}" if style and text else text


def cells_of(text: str) -> int:
    """Cells of a terminal that the text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)

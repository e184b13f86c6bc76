"""The console: one line that is rewritten in place, and what the libraries may say beside it."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_CLEAR = "\r\x1b[2K"
_BETWEEN = " | "


@dataclass(frozen=True)
class Cell:
    """A part of a line.

    Attributes:
        text: What it says.
        rank: Where there is not enough room, cells of higher rank give way; those of rank 0 never do.
        short: What it may say instead, in less room.
    """

    text: str
    rank: int = 0
    short: str | None = None


def join(cells: Sequence[Cell], columns: int | None = None) -> str:
    """The cells as one line of at most ``columns`` characters; None is without end.

    The cells are given room in the order of their ranks, each as its text, as its short text, or not
    at all; the line keeps them in the order they came in.
    """
    if columns is None:
        return _BETWEEN.join(cell.text for cell in cells)
    said: dict[int, str] = {}
    for place in sorted(range(len(cells)), key=lambda i: cells[i].rank):
        cell = cells[place]
        used = sum(len(text) + len(_BETWEEN) for text in said.values())
        fitting = (text for text in (cell.text, cell.short) if text and used + len(text) <= columns)
        last = (cell.short or cell.text) if cell.rank == 0 else None
        if (text := next(fitting, last)) is not None:
            said[place] = text
    return _BETWEEN.join(said[place] for place in sorted(said))[:columns]


class Line:
    """The last line of a terminal, written over and over; elsewhere every text is a line of its own.

    Args:
        stream: Where to write; standard output, as it is at that moment, if None.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._standing = ""  # what stands on the terminal's last line

    @property
    def out(self) -> TextIO:
        return self._stream or sys.stdout

    @property
    def in_place(self) -> bool:
        """True on a terminal, where the line is overwritten; elsewhere each text is a line of its own."""
        return self.out.isatty()

    def show(self, cells: Sequence[Cell]) -> None:
        """Put ``cells`` in place of what stood there, as many as there is room for."""
        if self.in_place:
            # The last column stays empty: some terminals wrap a line that fills it.
            self._standing = self._sayable(join(cells, shutil.get_terminal_size().columns - 1))
            self._write(_CLEAR + self._standing)
        else:
            self.print(join(cells))

    def print(self, text: str) -> None:
        """Print ``text`` for good, above the line."""
        text = self._sayable(text)
        self._write(f"{_CLEAR}{text}\n{self._standing}" if self.in_place else text + "\n")

    def clear(self) -> None:
        """Take away what stands on the line."""
        if self._standing:
            self._write(_CLEAR)
        self._standing = ""

    def end(self) -> None:
        """Leave the line as it is and begin a new one."""
        if self._standing and self.in_place:
            self._write("\n")
        self._standing = ""

    def _sayable(self, text: str) -> str:
        encoding = getattr(self.out, "encoding", None) or "utf-8"
        return text.encode(encoding, "replace").decode(encoding)

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def colours() -> bool:
    """True unless the user's ``NO_COLOR`` asks for text without colours."""
    return not os.environ.get("NO_COLOR")


def printable(text: str) -> str:
    """The text without control characters but tabs and ends of lines: model output can't steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


_NOISE = (
    ".*in eval mode at the start of training.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",
    ".*does not have many workers.*",
    ".*gradient_checkpointing.* is deprecated.*",  # its new name came with transformers 5.20
    ".*callbacks used to create the checkpoint need to be provided.*",  # what has changed is said by the run
    "Total length of .* across ranks is zero.*",  # an evaluation that is done already
)


def quieten() -> None:
    """Set the loggers of libraries to warnings only, so that they leave the progress line alone."""
    import torch
    import transformers

    # Hydra opens the console to INFO of everything that is imported; hydra.verbose=true asks for more.
    for name in (None, "lightning", "lightning.pytorch", "lightning.fabric", "transformers", "httpx"):
        logger = logging.getLogger(name)
        if logger.level in (logging.NOTSET, logging.INFO):
            logger.setLevel(logging.WARNING)
    # One message is all that Lightning says before it kills the run because another process has died.
    logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script").setLevel(logging.INFO)
    if not torch.accelerator.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or it warns that it found nothing else
    os.environ.setdefault("WANDB_SILENT", "true")  # the header names the page of a run that is online
    transformers.utils.logging.disable_progress_bar()
    for message in _NOISE:
        warnings.filterwarnings("ignore", message=message)

"""Heartbeats: each process writes its present step to a file that the others can read."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of one process.

    Attributes:
        rank: The process.
        phase: setup, rollout, update, validation, save, test, debugger, or the error that ended it.
        window: The window last trained on, from 0; None before the first one.
        update: Updates done.
        at: Wall clock, seconds since the epoch.
    """

    rank: int
    phase: str
    window: int | None
    update: int | None
    at: float

    def describe(self, now: float) -> str:
        """``rank 1: rollout (window 3, 12 updates done), 40 s ago``; windows count from 1, as for people."""
        where = [] if self.window is None else [f"window {self.window + 1}"]
        where += [] if self.update is None else [f"{self.update} updates done"]
        at = f" ({', '.join(where)})" if where else ""
        return f"rank {self.rank}: {self.phase}{at}, {now - self.at:.0f} s ago"


class HeartbeatFile:
    """``<folder>/rank-N.json``: replaced at a stroke, so that a reader never sees half of it.

    A watch must not end what it watches: a disk that is full or gone is not an error here.
    """

    def __init__(self, folder: str | Path, rank: int) -> None:
        self.folder, self.rank = Path(folder), rank
        self.path = _path(self.folder, rank)
        self._written: Heartbeat | None = None

    def write(self, beat: Heartbeat) -> None:
        """Write ``beat``, unless it is what the file holds."""
        if beat == self._written:
            return
        fresh = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(asdict(beat)), encoding="utf-8")
            fresh.replace(self.path)
        except OSError:
            return
        self._written = beat

    def remove(self) -> None:
        """Remove the file, and the folder with the last one."""
        self._written = None
        try:
            self.path.unlink(missing_ok=True)
            self.folder.rmdir()
        except OSError:
            return

    def others(self, world: int) -> list[Heartbeat]:
        """The last signs of life of the other processes, as far as their files can be seen from here."""
        found = (_read(_path(self.folder, rank)) for rank in range(world) if rank != self.rank)
        return [beat for beat in found if beat is not None]


def ended(beat: Heartbeat, exception: BaseException) -> Heartbeat:
    """The last beat of a process that an exception ends."""
    return replace(beat, phase=f"ended by {type(exception).__name__} in {beat.phase}", at=time.time())


def _path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.json"


def _read(path: Path) -> Heartbeat | None:
    try:
        return Heartbeat(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None

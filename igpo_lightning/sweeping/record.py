"""``job.json``: what became of one job of a sweep."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from igpo_lightning.files import write_atomic

FILE = "job.json"
WARM_STARTS = "warm_starts"  # folder beside the jobs' own: what they share

State = Literal["running", "stopped", "failed", "done", "kept"]


@dataclass(frozen=True)
class Record:
    """One job.

    Attributes:
        overrides: The job's own, sorted; they say what it computes.
        state: "running" (also of one that was killed), "stopped" (asked to), "failed", "done", or "kept":
            done by an earlier command, which this one found.
        command: Names the command that the state is of.
        value: What the job gives to the sweeper, if it is done.
        error: One line, if it failed.
        bad_input: It failed because of what it was given, not because of a bug or the machine.
        seconds: Wall time of the last attempt.
    """

    overrides: tuple[str, ...]
    state: State
    command: str = ""
    value: float | None = None
    error: str | None = None
    bad_input: bool = False
    seconds: float | None = None

    @property
    def finished(self) -> bool:
        return self.state in ("done", "kept")

    def write(self, folder: Path) -> None:
        """Write ``folder/job.json``, whole or not at all."""
        write_atomic(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record in ``folder``; None if there is none that can be read."""
        try:
            raw = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(**{**raw, "overrides": tuple(raw["overrides"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

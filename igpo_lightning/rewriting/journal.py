"""The journal: every answer on disk before it is used, whole or not at all.

One JSON object per line. A process that is killed while writing leaves a torn last line, which is cut
when the file is next opened; that answer was never used. Answers are synced to the disk, for they cost
money; verdicts are only derived from them.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.files import sync
from igpo_lightning.rewriting.records import Answer, Verdict

FILE = "journal.jsonl"

_KINDS: dict[str, type[Answer] | type[Verdict]] = {"answer": Answer, "verdict": Verdict}


class Journal:
    """The journal of one output folder. An existing one is locked, read and repaired at once.

    Attributes:
        records: What it held when it was opened, in order.
        cut: Bytes of a torn last line that were cut.
        session: Number of this start of the program, from 1.

    Raises:
        ConfigError: Another process has it open, or a line other than the last is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: list[Answer | Verdict] = []
        self.cut = 0
        self._file: Any = None
        self._size = 0
        self._started = time.monotonic()
        if self.path.exists():
            self._open()
            self._read()
        sessions = [record.session for record in self.records if isinstance(record, Answer)]
        self.session = max(sessions, default=0) + 1

    def begin(self) -> None:
        """Make the file if there is none, and start this session's clock."""
        if self._file is None:
            self._open()
            if os.fstat(self._file.fileno()).st_size:  # by a process that started at the same time
                self.close()
                raise ConfigError(f"{self.path}: another process has just written it; repeat the command")
            sync(self.path.parent)
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Since this session's clock started."""
        return round(time.monotonic() - self._started, 3)

    def add(self, record: Answer | Verdict) -> None:
        """Append a record; an answer is on the disk when this returns.

        Raises:
            ConfigError: It can't be written. The file is as it was before.
        """
        kind = "answer" if isinstance(record, Answer) else "verdict"
        line = (json.dumps({"kind": kind, **asdict(record)}) + "\n").encode()
        descriptor = self._file.fileno()
        try:
            left = memoryview(line)
            while left:
                left = left[os.write(descriptor, left) :]
            if kind == "answer":
                os.fsync(descriptor)
        except OSError as error:
            os.ftruncate(descriptor, self._size)
            raise ConfigError(f"{self.path}: can't be written: {error.strerror}") from error
        self._size += len(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115  # held, and locked, until close()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigError(
                f"output_dir={self.path.parent}: another process is rewriting into it; "
                "wait for it, or name another folder"
            ) from None
        except OSError:
            pass  # a file system without locks

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n")
        torn = lines.pop()  # what follows the last newline: nothing, in a file that is whole
        for number, line in enumerate(lines, start=1):
            try:
                self.records.append(_parse(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                if number < len(lines) or torn:
                    raise ConfigError(
                        f"{self.path}:{number}: not a line of this journal; take the file away (its answers "
                        "will be asked for again), or put it right"
                    ) from None
                torn = line + b"\n"  # a power failure can leave a last line of the right length
        self.cut = len(torn)
        self._size = os.fstat(self._file.fileno()).st_size - self.cut
        if self.cut:
            os.ftruncate(self._file.fileno(), self._size)


def _parse(line: bytes) -> Answer | Verdict:
    raw = json.loads(line)
    return _KINDS[raw.pop("kind")](**raw)

"""The files of an evaluation, written so that it can be stopped at any moment.

While completions are made, every process appends to part files of its own,
``generations/<benchmark>.<process>.part``. Before a run and after it, one process merges the parts into
``generations/<benchmark>.jsonl``, sorted and each (problem, sample) once; a line that was being written
when the run was stopped is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..checks import ConfigError
from ..files import cut_torn_line, write_atomic

_KINDS = {
    **dict.fromkeys(("id", "prompt", "completion", "gold"), str),
    **dict.fromkeys(("sample", "seed", "tokens"), int),
    **{"ended": bool, "groups": dict, "task": dict},
}
_ID = re.compile(r".+/[0-9]+", re.DOTALL)
Key = tuple[str, int]
_FILE = re.compile(r"(?P<benchmark>[\w-]+)\.(?:jsonl|[0-9]+\.part)")


@dataclass(frozen=True)
class Generation:
    """One completion of one problem."""

    id: str  # the problem's: "gsm8k/17"
    sample: int  # 0-based number among the problem's completions
    seed: int  # what its draws came from
    prompt: str  # as the model read it, special tokens spelled out
    completion: str  # up to the first stop token
    gold: str  # the problem's answer
    tokens: int  # length of the completion, the token that ends it included
    ended: bool  # False if it filled the canvas without a stop token
    answer: str | None = None  # the completion's final answer; None if it states none
    correct: bool | None = None  # the verdict; None before it is judged
    groups: dict[str, str] = field(default_factory=dict)  # the problem's level, subject, ...
    task: dict[str, Any] = field(default_factory=dict)  # the problem's, for its reward

    @property
    def key(self) -> Key:
        return self.id, self.sample

    @property
    def number(self) -> int:
        """The problem's, in the order of its data."""
        return number_of(self.id)


def number_of(problem: str) -> int:
    """The number in a problem's id."""
    return int(problem.rpartition("/")[2])


class Store:
    """One evaluation's folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.generations = self.folder / "generations"

    def names(self) -> list[str]:
        """Benchmarks that have completions."""
        found = (_FILE.fullmatch(path.name) for path in self.generations.glob("*"))
        return sorted({match["benchmark"] for match in found if match})

    def read(self, benchmark: str) -> list[Generation]:
        """The merged completions of a benchmark; none if there are none.

        Raises:
            ConfigError: A line is not a completion.
        """
        path = self._file(benchmark)
        return _read(path) if path.exists() else []

    def replace(self, benchmark: str, rows: Iterable[Generation]) -> None:
        """Write all completions of a benchmark in the order of its data, the file whole or not at all."""
        self.generations.mkdir(parents=True, exist_ok=True)
        ranked = sorted(rows, key=lambda row: (row.number, row.sample))
        write_atomic(self._file(benchmark), map(_line, ranked))

    def append(self, benchmark: str, process: int, rows: Sequence[Generation]) -> None:
        """Add completions to the part file of one process."""
        self.generations.mkdir(parents=True, exist_ok=True)
        with (self.generations / f"{benchmark}.{process}.part").open("a", encoding="utf-8") as file:
            file.write("".join(map(_line, rows)))

    def merge(self) -> None:
        """Move what part files hold into the benchmarks' files. One process may call it, between runs."""
        for name in self.names():
            parts = sorted(self.generations.glob(f"{name}.*.part"))
            rows = {}
            for part in parts:
                cut_torn_line(part)
                rows.update((row.key, row) for row in _read(part))
            rows.update((row.key, row) for row in self.read(name))
            if parts:
                self.replace(name, rows.values())
            for part in parts:  # only now: stopped in between, the next merge finds nothing new in them
                part.unlink()

    def _file(self, benchmark: str) -> Path:
        return self.generations / f"{benchmark}.jsonl"


def _line(row: Generation) -> str:
    return json.dumps(asdict(row)) + "\n"  # ASCII, so that lone surrogates in model text do no harm


def _parsed(line: bytes) -> Generation:
    row = Generation(**json.loads(line))
    for name, kind in _KINDS.items():
        if type(value := getattr(row, name)) is not kind:
            raise TypeError(f"{name} is {json.dumps(value)}")
    if not _ID.fullmatch(row.id):
        raise ValueError(f"its id {row.id!r} is not NAME/NUMBER")
    return row


def _read(path: Path) -> list[Generation]:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            rows.append(_parsed(line))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: not a saved completion ({error}); remove the line") from None
    return rows

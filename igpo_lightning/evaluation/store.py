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
from ..files import write_atomic

Key = tuple[str, int]
_FILE = re.compile(r"(?P<benchmark>[\w-]+)\.(?:jsonl|[0-9]+\.part)")


@dataclass(frozen=True)
class Generation:
    """One completion of one problem.

    Attributes:
        id: The problem's ("gsm8k/17").
        sample: 0-based number among the problem's completions.
        seed: What its draws came from.
        prompt: As the model read it, special tokens spelled out.
        completion: Up to the first stop token.
        gold: The problem's answer.
        answer: The completion's final answer; None if it states none.
        correct: The verdict; None before it is judged.
        tokens: Length of the completion, the token that ends it included.
        ended: False if it filled the canvas without a stop token.
        groups: The problem's level, subject, ...
    """

    id: str
    sample: int
    seed: int
    prompt: str
    completion: str
    gold: str
    tokens: int
    ended: bool
    answer: str | None = None
    correct: bool | None = None
    groups: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return self.id, self.sample

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts completions as their problems stand in the data."""
        name, _, index = self.id.rpartition("/")
        return name, int(index), self.sample


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
        return _read(self._file(benchmark), torn=False)

    def replace(self, benchmark: str, rows: Iterable[Generation]) -> None:
        """Write all completions of a benchmark, the file whole or not at all."""
        self.generations.mkdir(parents=True, exist_ok=True)
        write_atomic(self._file(benchmark), map(_line, sorted(rows, key=lambda row: row.order)))

    def append(self, benchmark: str, process: int, rows: Sequence[Generation]) -> None:
        """Add completions to the part file of one process."""
        self.generations.mkdir(parents=True, exist_ok=True)
        with (self.generations / f"{benchmark}.{process}.part").open("a", encoding="utf-8") as file:
            file.write("".join(map(_line, rows)))

    def merge(self) -> None:
        """Move what part files hold into the benchmarks' files. One process may call it, between runs."""
        for name in self.names():
            parts = sorted(self.generations.glob(f"{name}.*.part"))
            if not parts:
                continue
            rows = {row.key: row for part in parts for row in _read(part, torn=True)}
            rows.update((row.key, row) for row in self.read(name))
            self.replace(name, rows.values())
            for part in parts:  # only now: stopped in between, the next merge finds nothing new in them
                part.unlink()

    def _file(self, benchmark: str) -> Path:
        return self.generations / f"{benchmark}.jsonl"


def _line(row: Generation) -> str:
    return json.dumps(asdict(row)) + "\n"  # ASCII, so that lone surrogates in model text do no harm


def _read(path: Path, *, torn: bool) -> list[Generation]:
    """The rows of a file; with ``torn``, its last line may be the beginning of one."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    last = lines.pop()  # empty, unless the file was cut
    rows = [_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    if last and not torn:
        rows.append(_row(last, f"{path}:{len(lines) + 1}"))
    return rows


def _row(line: str, where: str) -> Generation:
    try:
        fields: dict[str, Any] = json.loads(line)
        return Generation(**fields)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: not a saved completion ({error}); remove the line") from None

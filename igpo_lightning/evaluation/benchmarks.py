"""A benchmark: where its rows are, what their fields mean, and how often each problem is answered."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..checks import ConfigError, existing_path, not_negative, positive_int
from ..data.sources.rows import NO_ANSWER, BadRow, Row, gather
from ..data.sources.tables import read_table
from ..rewards.answers import statements
from ..types import Problem


@dataclass(frozen=True)
class Benchmark:
    """One file of ``conf/benchmark``.

    Raises:
        ConfigError: A field makes no sense.
    """

    name: str  # first part of the problem ids, and the name in results
    question: str | Sequence[str] = ""  # field with the question; of several names, the first that a row has
    answer: Mapping[str, str] = field(default_factory=dict)  # field → "hashes", "boxed" or "plain"; the first
    # field that a row has counts
    make: Callable[[Row, str], Problem] | None = None  # in place of both: row, id's begin → problem
    path: str | None = None  # file, folder or hub id; None: folder/name if there is a folder, else hub
    split: str = "test"  # of path, or of folder
    folder: str | None = None  # holds one folder for each benchmark (benchmarks_dir)
    hub: Mapping[str, Any] | None = None  # path, split, config, revision of the published data set
    groups: Mapping[str, str] = field(default_factory=dict)  # what to make tables by → field, if a row has it
    samples: int = 1  # completions per problem: 1 gives pass@1, k gives avg@k
    temperature: float = 0.0  # of the sampler; 0 is greedy

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError(f"benchmark name {self.name!r}: expected letters, digits, _ and -")
        positive_int(f"{self.key}.samples", self.samples)
        not_negative(f"{self.key}.temperature", self.temperature)
        if self.make is None and not (self.question and self.answer):
            raise ConfigError(f"{self.key}: it needs question and answer, or make")
        for how in self.answer.values():
            if how not in _READERS:
                raise ConfigError(f"{self.key}.answer: unknown way {how!r}; known: {', '.join(_READERS)}")

    @property
    def key(self) -> str:
        """Its place in the configuration."""
        return f"benchmark.{self.name}"

    def problems(self) -> list[Problem]:
        """All problems that can be judged; raises as :meth:`read`."""
        return self.read()[0]

    def read(self) -> tuple[list[Problem], list[BadRow]]:
        """All problems in the order of the data, and what is wrong with each row that can't be judged.

        Raises:
            ConfigError: The data can't be read, or no row states an answer (naming file and line).
        """
        errors: list[BadRow] = []
        return gather(self._rows(), self._problem, "drop", errors)[0], errors

    def _rows(self) -> list[Row]:
        key = f"{self.key}.path"
        if self.path is not None:
            return read_table(self.path, key=key, split=self.split)
        if self.folder is not None:
            folder = existing_path("benchmarks_dir", self.folder) / self.name
            return read_table(str(existing_path("benchmarks_dir", folder)), key=key, split=self.split)
        if self.hub is None:
            raise ConfigError(f"{key}: give a file, a folder or a hub id")
        return read_table(**self.hub, key=key)

    def _problem(self, row: Row) -> Problem:
        if self.make is not None:
            return replace(self.make(row, self.name), trace="", tells=None)
        question = _first(row, [self.question] if isinstance(self.question, str) else self.question)
        stated = _first(row, list(self.answer))
        meta = {name: row.fields[column] for name, column in self.groups.items() if column in row.fields}
        return Problem(
            id=f"{self.name}/{row.index}",
            prompt=row.text(question).strip(),
            trace="",
            answer=row.short_answer(as_mathematics(_READERS[self.answer[stated]](row, stated))),
            meta={name: str(value) for name, value in meta.items() if value is not None},
        )


def digest(problems: Sequence[Problem]) -> str:
    """Hex SHA-256 of questions and gold answers, whatever file format they came in."""
    rows = json.dumps([[p.id, p.prompt, p.answer, *([dict(p.task)] if p.task else [])] for p in problems])
    return hashlib.sha256(rows.encode()).hexdigest()


def _first(row: Row, columns: Sequence[str]) -> str:
    """The first of ``columns`` that the row has; the last one if none, for the row's own message."""
    return next((column for column in columns if row.fields.get(column) is not None), columns[-1])


def _hashes(row: Row, column: str) -> str:
    _, mark, stated = row.text(column).rpartition("####")
    answer = stated.strip().replace(",", "")
    if not mark or not answer or "\n" in answer:
        raise row.bad(NO_ANSWER, f"field {column!r} must end in a line '#### <answer>'")
    return answer


def _boxed(row: Row, column: str) -> str:
    boxes = [s for s in statements(row.text(column)) if s.kind == "box"]
    if not boxes:
        raise row.bad(NO_ANSWER, f"field {column!r} states no answer in \\boxed{{}}")
    return boxes[-1].answer


def _plain(row: Row, column: str) -> str:
    return row.text(column, numbers=True)  # "142" for 142.0, in files that know only floats


def as_mathematics(answer: str) -> str:
    """A gold answer with Python's names of functions as those of mathematics.

    ``np.arcsin(10/13)`` is what Minerva has for ``\\arcsin(10/13)``, and no completion says it that way.
    """
    if not _CODE.search(answer):
        return answer
    text = _CODE.sub(lambda match: f"\\{_NAMES.get(match[1], match[1])}", answer).replace("**", "^")
    return _ROOT.sub(r"\\sqrt{\1}", text)


_NAMES = {"log": "ln", "log10": "log_{10}", "log2": "log_{2}"}
_NAMES |= {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}
_KNOWN = "arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|sqrt|exp|log10|log2|log|pi"
_CODE = re.compile(rf"\b(?:np|numpy|math|sympy|sp)\.({_KNOWN})(?![A-Za-z0-9])")
_ROOT = re.compile(r"\\sqrt\(([^()]*)\)")

_READERS: dict[str, Callable[[Row, str], str]] = {"hashes": _hashes, "boxed": _boxed, "plain": _plain}

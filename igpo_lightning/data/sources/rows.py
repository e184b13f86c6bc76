"""Rows of files as problems, with one clear error for each bad row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards.answers import extract
from igpo_lightning.types import Problem


@dataclass(frozen=True)
class Columns:
    """Names of the fields that hold a problem's parts; a null ``answer`` is what the trace says last."""

    prompt: str = "prompt"
    trace: str = "trace"
    answer: str | None = "answer"


@dataclass(frozen=True)
class Row:
    """One row of a table, and where it stands ("train.jsonl:17") for messages."""

    where: str
    index: int
    fields: Mapping[str, Any]

    def text(self, column: str, numbers: bool = False) -> str:
        """The field ``column`` as a non-empty string; ``numbers`` may be written as such.

        Raises:
            ConfigError: It is missing, empty or of another type.
        """
        if column not in self.fields:
            known = ", ".join(map(repr, self.fields)) or "none"
            raise ConfigError(f"{self.where}: no field {column!r}; the fields are {known}")
        value = self.fields[column]
        if numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            wanted = "a text or a number" if numbers else "a text"
            raise ConfigError(f"{self.where}: field {column!r} must be {wanted}, got {type(value).__name__}")
        if not value.strip():
            raise ConfigError(f"{self.where}: field {column!r} is empty")
        return value

    def problem(self, prefix: str, columns: Columns) -> Problem:
        """This row as a problem with id ``prefix/index``; other fields of plain values go to ``meta``.

        Raises:
            ConfigError: A part is missing, or the answer is to come from a trace that states none.
        """
        used = (columns.prompt, columns.trace, columns.answer)
        meta = {k: v for k, v in self.fields.items() if k not in used and isinstance(v, (str, int, float))}
        trace = self.text(columns.trace).strip()
        return Problem(
            id=f"{prefix}/{self.index}",
            prompt=self.text(columns.prompt).strip(),
            trace=trace,
            answer=self._answer(trace, columns).strip(),
            meta=meta,
        )

    def _answer(self, trace: str, columns: Columns) -> str:
        if columns.answer is not None:
            return self.text(columns.answer, numbers=True)
        if (stated := extract(trace)) is None:
            raise ConfigError(
                f"{self.where}: field {columns.trace!r} states no final answer (such as \\boxed{{72}}), and "
                "no other field is named as the answer"
            )
        return stated


def read_jsonl(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file; blank lines are skipped, and ``index`` counts the others.

    Raises:
        ConfigError: The file can't be read, or a line is not one JSON object.
    """
    index = 0
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            yield Row(where, index, _object(_parse(line, where), where))
            index += 1


def read_json_list(path: Path) -> Iterator[Row]:
    """The rows of a JSON file that holds one list of objects.

    Raises:
        ConfigError: The file can't be read, or holds something else.
    """
    items = _parse(_read_text(path), str(path))
    if not isinstance(items, list):
        raise ConfigError(f"{path}: expected a list of JSON objects, got {type(items).__name__}")
    for index, item in enumerate(items):
        where = f"{path}: item {index + 1}"
        yield Row(where, index, _object(item, where))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"{where}:{error.lineno}" if "\n" in text else where
        raise ConfigError(f"{at}: malformed JSON, {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{where}: malformed JSON, nested too deeply") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value

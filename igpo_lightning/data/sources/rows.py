"""Rows of files as problems, with one clear error for each bad row."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from igpo_lightning.amounts import counted
from igpo_lightning.checks import ConfigError, choice
from igpo_lightning.rewards.answers import extract
from igpo_lightning.types import Problem

OnBadRow = Literal["error", "drop"]

NO_ANSWER = "no answer"
UNCHECKABLE = {"proof", "notfound", "not found", "n/a", "nan"}
"""Words of public tables, in whatever case, where there is no answer to check (NuminaMath and its kin)."""

MAX_GOLD_CHARS = 1000
"""Longer answers are slips of a table; those of the benchmarks here have fewer than 200 characters."""

_MAX_DIGITS = 4000  # Python itself refuses whole numbers of more than 4,300


class BadRow(ConfigError):
    """A row that can't be used; ``reason`` says why in a few words that many rows may share."""

    def __init__(self, where: str, reason: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.reason = reason


@dataclass(frozen=True)
class Columns:
    """Names of the fields that hold a problem's parts.

    A null ``answer`` is what the trace says last; with a null ``trace`` there are none, and rows without
    this field have none either.
    """

    prompt: str = "prompt"
    trace: str | None = "trace"
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
            BadRow: It is missing, empty, of another type, or no text that can be written in UTF-8.
        """
        if column not in self.fields:
            known = ", ".join(map(repr, self.fields)) or "none"
            raise self.bad(f"no {column}", f"no field {column!r}; the fields are {known}")
        value = self.fields[column]
        if numbers and (number := self._number(column, value)) is not None:
            return number
        if not isinstance(value, str):
            wanted = "a text or a number" if numbers else "a text"
            reason = f"no {column}" if value is None else f"{column} of another type"
            raise self.bad(reason, f"field {column!r} must be {wanted}, got {kind_of(value)}")
        if not value.strip():
            raise self.bad(f"no {column}", f"field {column!r} is empty")
        if not is_utf8(value):
            message = f"field {column!r} holds half of a surrogate pair, which is no character"
            raise self.bad(f"{column} is no text", message)
        return value

    def optional_text(self, column: str | None) -> str:
        """The field ``column`` as a string, empty if it is missing, null or blank."""
        if column is None or self.fields.get(column) in (None, ""):
            return ""
        return self.text(column)

    def bad(self, reason: str, message: str) -> BadRow:
        """An error about this row."""
        return BadRow(self.where, reason, message)

    def problem(self, prefix: str, columns: Columns) -> Problem:
        """This row as a problem with id ``prefix/index``; other fields of plain values go to ``meta``.

        Raises:
            BadRow: A part is missing, or the answer is to come from a trace that states none.
        """
        used = (columns.prompt, columns.trace, columns.answer)
        meta = {k: v for k, v in self.fields.items() if k not in used and isinstance(v, (str, int, float))}
        prompt, trace = self.text(columns.prompt).strip(), self.optional_text(columns.trace).strip()
        if columns.answer is not None:
            answer = self.text(columns.answer, numbers=True)
        elif (answer := extract(trace)) is None:
            raise self.bad(
                NO_ANSWER,
                f"field {columns.trace!r} states no final answer (such as \\boxed{{72}}), and no other field "
                "is named as the answer",
            )
        return Problem(f"{prefix}/{self.index}", prompt, trace, self.short_answer(answer), meta)

    def short_answer(self, text: str) -> str:
        """``text`` without surrounding white space, if it can be an answer.

        Raises:
            BadRow: It is longer than the answer to any problem is.
        """
        answer = text.strip()
        if len(answer) > MAX_GOLD_CHARS:
            message = f"the answer has {len(answer):,} characters; at most {MAX_GOLD_CHARS:,} are taken"
            raise self.bad("answer too long", message)
        return answer

    def _number(self, column: str, value: Any) -> str | None:
        """A number as text ("142" for 142.0); None if ``value`` is none."""
        if isinstance(value, _Digits):
            message = f"field {column!r} is a number of {len(value.text):,} digits"
            raise self.bad("answer too long", message)
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            return None
        if not math.isfinite(value):
            raise self.bad(f"{column} is no number", f"field {column!r} is {value}, not a number")
        if isinstance(value, Decimal):
            text = format(value, "f")
            return text.rstrip("0").rstrip(".") if "." in text else text
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def is_utf8(value: Any) -> bool:
    """True of a string that can be written in UTF-8."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def gather(
    rows: Iterable[Row],
    make: Callable[[Row], Problem],
    on_bad_row: OnBadRow,
    errors: list[BadRow] | None = None,
) -> tuple[list[Problem], Counter[str]]:
    """(problems, counts of rows left out by reason).

    Args:
        make: A row as a problem; raises :class:`BadRow` if it is none.
        on_bad_row: "drop" counts such rows, "error" raises at the first.
        errors: Gets what was wrong with each row that is left out.

    Raises:
        BadRow: See ``on_bad_row``; or no row is left.
    """
    choice("data.on_bad_row", on_bad_row, *get_args(OnBadRow))
    problems: list[Problem] = []
    dropped: Counter[str] = Counter()
    errors = [] if errors is None else errors
    for row in rows:
        try:
            made = replace(make(row), where=row.where)
            if on_bad_row == "drop" and made.answer.lower() in UNCHECKABLE:
                raise row.bad(NO_ANSWER, f"its answer is {made.answer!r}")
            problems.append(made)
        except BadRow as error:
            if on_bad_row == "error":
                raise
            errors.append(error)
            dropped[error.reason] += 1
    if not problems and errors:
        raise ConfigError(f"{errors[0]}; no row is left; left out: {counted(dropped)}")
    return problems, dropped


@dataclass(frozen=True)
class _Digits:
    """A whole number that is too long to be one."""

    text: str


def read_jsonl(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file; blank lines are skipped, and ``index`` counts the others.

    A file that holds one list over several lines is read as :func:`read_json_list` does.

    Raises:
        ConfigError: The file can't be read, or a line is not one JSON object.
    """
    text, index = _read_text(path), 0
    spread = _spread_out(text)
    if isinstance(spread, dict):
        raise _no_list(path, spread, "an object over several lines")
    if spread is not None:
        yield from read_json_list(path)
        return
    for number, line in enumerate(text.split("\n"), start=1):
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
        raise _no_list(path, items, kind_of(items))
    for index, item in enumerate(items):
        where = f"{path}: item {index + 1}"
        yield Row(where, index, _object(item, where))


def _no_list(path: Path, value: Any, what: str) -> ConfigError:
    fields = value.items() if isinstance(value, dict) else ()
    lists = " and under ".join(repr(name) for name, part in fields if isinstance(part, list))
    under = f" with a list under {lists}; save that alone" if lists else ""
    return ConfigError(f"{path}: expected a list of JSON objects, or one object a line; got {what}{under}")


def _spread_out(text: str) -> Any:
    """The list or object that ``text`` begins with, if it ends in a later line; None of JSON Lines."""
    begin = text.lstrip()
    try:
        value, end = json.JSONDecoder(parse_int=_whole).raw_decode(begin)
    except (ValueError, RecursionError):
        return None
    return value if "\n" in begin[:end] else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except json.JSONDecodeError as error:
        at = f"{where}:{error.lineno}" if "\n" in text else where
        raise ConfigError(f"{at}: malformed JSON, {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ConfigError(f"{where}: malformed JSON, nested too deeply") from None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a JSON object, got {kind_of(value)}")
    return value


def kind_of(value: Any) -> str:
    """The type of a JSON value in a word."""
    return "null" if value is None else type(value).__name__


def _whole(digits: str) -> int | _Digits:
    return int(digits) if len(digits) <= _MAX_DIGITS else _Digits(digits)

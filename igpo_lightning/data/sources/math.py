"""MATH: competition problems with LaTeX solutions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from igpo_lightning.data.sources.base import TableSource
from igpo_lightning.data.sources.rows import NO_ANSWER, Columns, OnBadRow, Row, gather, read_json_list
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem

_PUBLISHED = Columns(prompt="problem", trace="solution", answer=None)
_BY_FILE = Columns(prompt="input", trace="process", answer="label")


class Math(TableSource):
    """The training set of MATH; ``meta`` has a problem's subject, and its level where the rows tell it.

    Two forms are known: rows of {problem, solution, type} as published, where the answer is the
    solution's last box, and files ``train_<subject>.json`` that hold a list of {input, process, label}.

    Args:
        path: A folder of ``train_<subject>.json`` files, any table in the published form, or a hub copy
            such as ``EleutherAI/hendrycks_math``.
        configs: The hub copy's configurations, one for each subject; null if it has only one.
        revision: Commit, branch or tag of the hub copy.
        on_bad_row: What to do about a row that can't be used: "error", or "drop" it and count it.
        **split: ``train_size``, ``val_size``, ``test_size``, ``split_seed``; see :class:`TableSource`.

    Raises:
        ConfigError: Nothing can be read there, or a row is malformed.
    """

    name = "math"

    def __init__(
        self,
        path: str,
        configs: Sequence[str] | None = None,
        revision: str | None = None,
        on_bad_row: OnBadRow = "drop",
        **split: Any,
    ) -> None:
        super().__init__(**split)
        problems, dropped = gather(_rows(path, configs, revision), _problem, on_bad_row)
        self.split(problems, dropped=dropped)


def _rows(path: str, configs: Sequence[str] | None, revision: str | None) -> Iterator[Row]:
    """Every row, with a field ``subject`` if its place tells it."""
    place = Path(path).expanduser()
    files = sorted(place.glob("train_*.json"))
    for file in files:
        yield from _told(file.stem.removeprefix("train_").strip("_"), read_json_list(file))
    if files:
        return
    parts = [c for c in configs or () if not place.exists() or (place / c).is_dir()]
    for config in parts or [None]:
        yield from _told(config, iter_table(path, key="data.path", config=config, revision=revision))


def _told(subject: str | None, rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield row if subject is None else replace(row, fields={**row.fields, "subject": subject})


def _problem(row: Row) -> Problem:
    """The row as a problem.

    Raises:
        BadRow: A part is missing, or the solution states no answer.
    """
    columns = _BY_FILE if _BY_FILE.prompt in row.fields else _PUBLISHED
    if columns.answer is not None and row.fields.get(columns.answer) in ("", None):
        raise row.bad(NO_ANSWER, f"field {columns.answer!r} is empty")
    subject = row.fields.get("subject") or row.fields.get("type") or "all"
    subject = str(subject).lower().replace("&", "and").replace(" ", "_")
    made = row.problem(f"math/{subject}", columns)
    level = str(row.fields.get("level") or "").removeprefix("Level").strip()
    return replace(made, meta={"subject": subject, **({"level": level} if level else {})})

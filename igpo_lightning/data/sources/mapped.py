"""Any table of problems, by the names of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from igpo_lightning.checks import ConfigError, data_source
from igpo_lightning.data.sources.base import TableSource
from igpo_lightning.data.sources.rows import Columns, OnBadRow, Row, gather
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem


class Table(TableSource):
    """Problems from any table that :func:`read_table` reads: a file, a folder, a hub data set.

    Validation problems are drawn from the training table, and so are test problems unless there is a
    held-out table. Training rows with a held-out prompt are dropped.

    Args:
        path: The table to train on.
        heldout_path: The table to test on; null with a ``heldout_split`` means ``path``.
        columns: Which fields are the ``prompt``, the ``trace`` (ending in the answer) and the ``answer``;
            a null answer is taken from the end of the trace, and with a null trace there are none.
        key: The setting that ``path`` comes from, for messages.
        split: Split to train on.
        heldout_split: Split to test on; null with a ``heldout_path`` means "test" of a folder or a hub
            data set.
        config: Configuration of a hub data set.
        revision: Commit, branch or tag of a hub data set.
        name: First part of the problem ids.
        make: (row, begin of its id) → problem, where naming columns is not enough.
        made_by: The command that makes ``path``, for the message if it isn't there.
        on_bad_row: What to do about a row that can't be used: "error", or "drop" it and count it.
        **sizes: ``train_size``, ``val_size``, ``test_size``, ``split_seed``; see :class:`TableSource`.

    Raises:
        ConfigError: A table can't be read, or a row is malformed (the message says which).
    """

    def __init__(
        self,
        path: str,
        heldout_path: str | None = None,
        columns: Mapping[str, str | None] | None = None,
        key: str = "data.path",
        split: str = "train",
        heldout_split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        name: str = "table",
        make: Callable[[Row, str], Problem] | None = None,
        made_by: str | None = None,
        on_bad_row: OnBadRow = "error",
        **sizes: Any,
    ) -> None:
        super().__init__(**sizes)
        self.name = name
        names = _checked_columns(columns)
        data_source(key, path, made_by)
        read = partial(iter_table, config=config, revision=revision)

        def made(row: Row, part: str) -> Problem:
            return row.problem(part, names) if make is None else make(row, part)

        def load(rows: Iterable[Row], part: str) -> tuple[list[Problem], Counter[str]]:
            return gather(rows, lambda row: made(row, f"{name}/{part}"), on_bad_row)

        problems, dropped = load(read(path, key=key, split=split), "train")
        test = None
        if heldout_path is not None or heldout_split is not None:
            place, part = heldout_path or path, heldout_split or "test"
            test, more = load(read(place, key="data.heldout_path", split=part), "heldout")
            dropped += more
        held = f"heldout_path={heldout_path}" if heldout_path else f"heldout_split={heldout_split}"
        self.split(problems, test, dropped=dropped, test_name=f"data.{held}")


def _checked_columns(columns: Mapping[str, str | None] | None) -> Columns:
    given: dict[str, Any] = dict(columns or {})
    if unknown := sorted(set(given) - {"prompt", "trace", "answer"}):
        raise ConfigError(f"data.source.columns: unknown part {unknown[0]!r}; known: prompt, trace, answer")
    for part, field in given.items():
        if not isinstance(field, str) and (part == "prompt" or field is not None):
            raise ConfigError(f"data.source.columns.{part}={field}: expected the name of a field")
    if given.get("trace", "") is None and given.get("answer", "") is None:
        raise ConfigError("data.source.columns: with neither a trace nor an answer, nothing tells the answer")
    return Columns(**given)

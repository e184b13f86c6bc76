"""Any table of problems, by the names of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from igpo_lightning.checks import ConfigError, data_source
from igpo_lightning.data.sources.base import TableSource, check_sizes, hold_out
from igpo_lightning.data.sources.rows import Columns
from igpo_lightning.data.sources.tables import read_table


class Table(TableSource):
    """Problems from any table that :func:`read_table` reads: a file, a folder, a hub data set.

    Without a held-out table, ``heldout_size`` problems of the training table are held out, chosen by
    their prompts. Training rows with a held-out prompt are dropped.

    Args:
        path: The table to train on.
        heldout_path: The table to hold out; null with a ``heldout_split`` means ``path``.
        columns: Which fields are the ``prompt``, the ``trace`` (ending in the answer) and the ``answer``;
            a null answer is taken from the end of the trace.
        split: Split to train on.
        heldout_split: Split to hold out; null with a ``heldout_path`` means "test" of a folder or a hub
            data set.
        config: Configuration of a hub data set.
        revision: Commit, branch or tag of a hub data set.
        train_size: At most so many training problems; null takes all.
        heldout_size: At most so many held-out problems; null takes all of the held-out table.
        name: First part of the problem ids.
        made_by: The command that makes ``path``, for the message if it isn't there.
        seed: Names the choice of rows.

    Raises:
        ConfigError: A table can't be read, or a row is malformed (the message says which).
    """

    def __init__(
        self,
        path: str,
        heldout_path: str | None = None,
        columns: Mapping[str, str | None] | None = None,
        split: str = "train",
        heldout_split: str | None = None,
        config: str | None = None,
        revision: str | None = None,
        train_size: int | None = None,
        heldout_size: int | None = 500,
        name: str = "table",
        made_by: str | None = None,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        names = _checked_columns(columns)
        data_source("data.path", path, made_by)
        read = partial(read_table, config=config, revision=revision)
        rows = read(path, key="data.path", split=split)
        train = [row.problem(f"{name}/train", names) for row in rows]
        if heldout_path is None and heldout_split is None:
            train, heldout = hold_out(train, heldout_size, seed)
        else:
            rows = read(heldout_path or path, key="data.heldout_path", split=heldout_split or "test")
            heldout = [row.problem(f"{name}/heldout", names) for row in rows]
        super().__init__(name, train, heldout, train_size=train_size, heldout_size=heldout_size, seed=seed)


def _checked_columns(columns: Mapping[str, str | None] | None) -> Columns:
    given = dict(columns or {})
    if unknown := sorted(set(given) - {"prompt", "trace", "answer"}):
        raise ConfigError(f"data.source.columns: unknown part {unknown[0]!r}; known: prompt, trace, answer")
    for part, field in given.items():
        if not isinstance(field, str) and not (part == "answer" and field is None):
            raise ConfigError(f"data.source.columns.{part}={field}: expected the name of a field")
    return Columns(**given)

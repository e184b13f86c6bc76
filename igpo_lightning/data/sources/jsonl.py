"""A user's own problems from JSON Lines files."""

from __future__ import annotations

from collections.abc import Mapping

from igpo_lightning.checks import ConfigError, existing_path
from igpo_lightning.data.sources.base import TableSource, check_sizes, split, subset, without
from igpo_lightning.data.sources.rows import Columns, Row, load_jsonl
from igpo_lightning.types import Problem


class Jsonl(TableSource):
    """Problems from one or two JSON Lines files, one object per line.

    Args:
        train_path: File to train on.
        heldout_path: File to hold out. Without one, ``heldout_size`` problems of the training file are,
            chosen by their prompts. Training rows with a held-out prompt are dropped.
        columns: Which fields are the ``prompt``, the ``trace`` (ending in the answer) and the ``answer``.
        train_size: At most so many training problems; null takes all.
        heldout_size: At most so many held-out problems; null takes all of ``heldout_path``.
        name: First part of the problem ids.
        seed: Names the choice of rows.

    Raises:
        ConfigError: A file is missing, or a line is malformed (the message starts with file:line).
    """

    def __init__(
        self,
        train_path: str,
        heldout_path: str | None = None,
        columns: Mapping[str, str] | None = None,
        train_size: int | None = None,
        heldout_size: int | None = 500,
        name: str = "jsonl",
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        self.columns = _checked_columns(columns)
        rows = self._load("data.source.train_path", train_path, f"{name}/train")
        if heldout_path is not None:
            heldout = self._load("data.source.heldout_path", heldout_path, f"{name}/heldout")
        elif heldout_size is None:
            raise ConfigError(
                "data.source.heldout_size: give a number, or a file as data.source.heldout_path"
            )
        else:
            rows, heldout = split(rows, heldout_size, seed)
        heldout = subset(heldout, heldout_size, seed)
        train, repeated = without(rows, heldout)
        dropped = {"held-out prompt": repeated} if repeated else {}
        super().__init__(name, subset(train, train_size, seed), heldout, dropped)

    def _load(self, key: str, path: str, prefix: str) -> list[Problem]:
        return load_jsonl(existing_path(key, path), prefix, self._problem)

    def _problem(self, row: Row, prefix: str) -> Problem:
        return row.problem(prefix, self.columns)


def _checked_columns(columns: Mapping[str, str] | None) -> Columns:
    given = dict(columns or {})
    if unknown := sorted(set(given) - {"prompt", "trace", "answer"}):
        raise ConfigError(f"data.source.columns: unknown part {unknown[0]!r}; known: prompt, trace, answer")
    return Columns(**given)

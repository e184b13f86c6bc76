"""GSM8K: grade-school word problems with step-by-step answers."""

from __future__ import annotations

import re
from pathlib import Path

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TableSource, check_sizes, hold_out
from igpo_lightning.data.sources.rows import Row
from igpo_lightning.data.sources.tables import read_table
from igpo_lightning.types import Problem

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_SPLIT_HELDOUT = 500


class Gsm8k(TableSource):
    """GSM8K in its published form: fields ``question`` and ``answer``, the last line ``#### 72``.

    The calculator marks (``<<48/2=24>>``) are removed from the traces, the last line stays.

    Args:
        path: Folder with train and test files, or the hub's ``openai/gsm8k`` (its test split is the
            held-out problems); or one file, of which ``heldout_size`` problems (500 if null) are held
            out.
        config: Configuration of the hub's data set.
        revision: Commit, branch or tag of the hub's data set.
        train_size: At most so many training problems; null takes all.
        heldout_size: At most so many held-out problems; null takes all.
        seed: Names the choice of rows.

    Raises:
        ConfigError: A table can't be read, or a row is malformed (the message says which).
    """

    def __init__(
        self,
        path: str,
        config: str | None = "main",
        revision: str | None = None,
        train_size: int | None = None,
        heldout_size: int | None = None,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)

        def load(split: str) -> list[Problem]:
            rows = read_table(path, key="data.path", split=split, config=config, revision=revision)
            return [problem(row, f"gsm8k/{split}") for row in rows]

        file = Path(path).expanduser()
        if file.is_file():
            size = _SPLIT_HELDOUT if heldout_size is None else heldout_size
            rows = [problem(row, f"gsm8k/{file.stem}") for row in read_table(path, key="data.path")]
            train, heldout = hold_out(rows, size, seed)
        else:
            train, heldout = load("train"), load("test")
        super().__init__("gsm8k", train, heldout, train_size=train_size, heldout_size=heldout_size, seed=seed)


def problem(row: Row, prefix: str) -> Problem:
    """A row of GSM8K as a problem.

    Raises:
        ConfigError: The answer has no final ``#### 72``.
    """
    trace = _CALCULATOR.sub("", row.text("answer")).strip()
    _, mark, stated = trace.rpartition("####")
    answer = stated.strip().replace(",", "")
    if not mark or not answer or "\n" in answer:
        raise ConfigError(f"{row.where}: field 'answer' must end in a line '#### <number>'")
    return Problem(f"{prefix}/{row.index}", row.text("question").strip(), trace, answer)

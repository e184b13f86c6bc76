"""GSM8K: grade-school word problems with step-by-step answers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from igpo_lightning.data.sources.base import TableSource
from igpo_lightning.data.sources.rows import NO_ANSWER, OnBadRow, Row, gather
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem

_CALCULATOR = re.compile(r"<<[^<>]*>>")


class Gsm8k(TableSource):
    """GSM8K in its published form: fields ``question`` and ``answer``, the last line ``#### 72``.

    The calculator marks (``<<48/2=24>>``) are removed from the traces, the last line stays.

    Args:
        path: Folder with train and test files, or the hub's ``openai/gsm8k``, which test problems are
            taken from; or one file, from which they are drawn.
        config: Configuration of the hub's data set.
        revision: Commit, branch or tag of the hub's data set.
        on_bad_row: What to do about a row that can't be used: "error", or "drop" it and count it.
        **split: ``train_size``, ``val_size``, ``test_size``, ``split_seed``; see :class:`TableSource`.

    Raises:
        ConfigError: A table can't be read, or a row is malformed (the message says which).
    """

    name = "gsm8k"

    def __init__(
        self,
        path: str,
        config: str | None = "main",
        revision: str | None = None,
        on_bad_row: OnBadRow = "drop",
        **split: Any,
    ) -> None:
        super().__init__(**split)

        def load(part: str, prefix: str) -> tuple[list[Problem], Counter[str]]:
            rows = iter_table(path, key="data.path", split=part, config=config, revision=revision)
            return gather(rows, lambda row: problem(row, prefix), on_bad_row)

        file, test = Path(path).expanduser(), None
        problems, dropped = load("train", f"gsm8k/{file.stem if file.is_file() else 'train'}")
        if not file.is_file():
            test, more = load("test", "gsm8k/test")
            dropped += more
        self.split(problems, test, dropped=dropped)


def problem(row: Row, prefix: str) -> Problem:
    """A row of GSM8K as a problem.

    Raises:
        BadRow: The answer has no final ``#### 72``.
    """
    trace = _CALCULATOR.sub("", row.text("answer")).strip()
    _, mark, stated = trace.rpartition("####")
    answer = stated.strip().replace(",", "")
    if not mark or not answer or "\n" in answer:
        raise row.bad(NO_ANSWER, "field 'answer' must end in a line '#### <number>'")
    prompt = row.text("question").strip()
    return Problem(f"{prefix}/{row.index}", prompt, trace, row.short_answer(answer))

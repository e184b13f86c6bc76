"""GSM8K: grade-school word problems with step-by-step answers."""

from __future__ import annotations

import re
from pathlib import Path

from igpo_lightning.checks import ConfigError, existing_path
from igpo_lightning.data.sources.base import TableSource, check_sizes, split, subset, without
from igpo_lightning.data.sources.rows import Row, load_jsonl
from igpo_lightning.types import Problem

_CALCULATOR = re.compile(r"<<[^<>]*>>")
_SPLIT_HELDOUT = 500


class Gsm8k(TableSource):
    """GSM8K in its published form: fields ``question`` and ``answer``, the last line ``#### 72``.

    The calculator marks (``<<48/2=24>>``) are removed from the traces, the last line stays.

    Args:
        path: Folder with train.jsonl and test.jsonl (the held-out problems), or one such file, of which
            ``heldout_size`` problems (500 if null) are held out.
        train_size: At most so many training problems; null takes all.
        heldout_size: At most so many held-out problems; null takes all.
        seed: Names the choice of rows.

    Raises:
        ConfigError: A file is missing, or a row malformed (the message starts with file:line).
    """

    def __init__(
        self,
        path: str,
        train_size: int | None = None,
        heldout_size: int | None = None,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        place = existing_path("data.path", path)
        if place.is_dir():
            train, heldout = self._load(place / "train.jsonl"), self._load(place / "test.jsonl")
        else:
            size = _SPLIT_HELDOUT if heldout_size is None else heldout_size
            train, heldout = split(self._load(place), size, seed)
        heldout = subset(heldout, heldout_size, seed)
        train, repeated = without(train, heldout)
        dropped = {"held-out prompt": repeated} if repeated else {}
        super().__init__("gsm8k", subset(train, train_size, seed), heldout, dropped)

    @staticmethod
    def _load(path: Path) -> list[Problem]:
        return load_jsonl(existing_path("data.path", path), f"gsm8k/{path.stem}", problem)


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

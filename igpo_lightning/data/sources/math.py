"""MATH: competition problems with LaTeX solutions, one JSON list per subject."""

from __future__ import annotations

from pathlib import Path

from igpo_lightning.checks import ConfigError, existing_path
from igpo_lightning.data.sources.base import TableSource, check_sizes, split, subset
from igpo_lightning.data.sources.rows import Columns, read_json_list
from igpo_lightning.types import Problem

_COLUMNS = Columns(prompt="input", trace="process", answer="label")


class MathFolder(TableSource):
    """MATH as a folder of files such as train_algebra_.json: lists of {input, process, label}.

    Problems without a label are dropped and counted; ``meta["subject"]`` comes from the file name.

    Args:
        path: The folder.
        train_size: At most so many training problems; null takes all.
        heldout_size: Number of problems held out, chosen by their prompts.
        seed: Names the choice of rows.

    Raises:
        ConfigError: The folder or its files are missing, or an item is malformed.
    """

    def __init__(
        self, path: str, train_size: int | None = None, heldout_size: int = 500, seed: int = 0
    ) -> None:
        check_sizes(train_size, heldout_size)
        if heldout_size is None:
            raise ConfigError("data.source.heldout_size=null: expected a whole number of problems")
        folder = existing_path("data.path", path)
        files = sorted(folder.glob("train_*.json"))
        if not files:
            raise ConfigError(f"data.path={path}: no file train_<subject>.json in this folder")
        dropped: dict[str, int] = {}
        rows = [problem for file in files for problem in _load(file, dropped)]
        train, heldout = split(rows, heldout_size, seed)
        super().__init__("math", subset(train, train_size, seed), heldout, dropped)


def _load(file: Path, dropped: dict[str, int]) -> list[Problem]:
    subject = file.stem.removeprefix("train_").strip("_")
    problems = []
    for row in read_json_list(file):
        if row.fields.get(_COLUMNS.answer) == "":
            dropped["no answer"] = dropped.get("no answer", 0) + 1
            continue
        made = row.problem(f"math/{subject}", _COLUMNS)
        problems.append(Problem(made.id, made.prompt, made.trace, made.answer, {"subject": subject}))
    return problems

"""MATH: competition problems with LaTeX solutions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from igpo_lightning.data.sources.base import TableSource, check_sizes, hold_out
from igpo_lightning.data.sources.rows import Columns, Row, read_json_list
from igpo_lightning.data.sources.tables import read_table
from igpo_lightning.rewards.answers import extract
from igpo_lightning.types import Problem

_PUBLISHED = Columns(prompt="problem", trace="solution", answer=None)
_BY_FILE = Columns(prompt="input", trace="process", answer="label")
NO_ANSWER = "no answer"


class Math(TableSource):
    """The training set of MATH; ``meta["subject"]`` is a problem's subject.

    Two forms are known: rows of {problem, solution, type} as published, where the answer is the
    solution's last box, and files ``train_<subject>.json`` that hold a list of {input, process, label}.
    Problems without an answer are dropped and counted.

    Args:
        path: A folder of ``train_<subject>.json`` files, any table in the published form, or a hub copy
            such as ``EleutherAI/hendrycks_math``.
        configs: The hub copy's configurations, one for each subject; null if it has only one.
        revision: Commit, branch or tag of the hub copy.
        train_size: At most so many training problems; null takes all.
        heldout_size: Number of problems held out, chosen by their prompts.
        seed: Names the choice of rows.

    Raises:
        ConfigError: Nothing can be read there, or a row is malformed.
    """

    def __init__(
        self,
        path: str,
        configs: Sequence[str] | None = None,
        revision: str | None = None,
        train_size: int | None = None,
        heldout_size: int = 500,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        dropped: Counter[str] = Counter()
        rows = []
        for subject, row in _rows(path, configs, revision):
            if (made := _problem(subject, row)) is None:
                dropped[NO_ANSWER] += 1
            else:
                rows.append(made)
        train, heldout = hold_out(rows, heldout_size, seed)
        super().__init__("math", train, heldout, train_size=train_size, seed=seed, dropped=dropped)


def _rows(path: str, configs: Sequence[str] | None, revision: str | None) -> Iterator[tuple[str | None, Row]]:
    """Every row, with its subject if its place tells it."""
    files = sorted(Path(path).expanduser().glob("train_*.json"))
    for file in files:
        subject = file.stem.removeprefix("train_").strip("_")
        yield from ((subject, row) for row in read_json_list(file))
    if files:
        return
    place = Path(path).expanduser()
    parts = [c for c in configs or () if not place.exists() or (place / c).is_dir()]
    for config in parts or [None]:
        table = read_table(path, key="data.path", config=config, revision=revision)
        yield from ((config, row) for row in table)


def _problem(subject: str | None, row: Row) -> Problem | None:
    """The row as a problem; None if it has no answer."""
    columns = _BY_FILE if _BY_FILE.prompt in row.fields else _PUBLISHED
    if columns.answer is not None and row.fields.get(columns.answer) == "":
        return None
    if columns.answer is None and extract(row.text(columns.trace)) is None:
        return None
    subject = subject or str(row.fields.get("type", "all")).lower().replace("&", "and").replace(" ", "_")
    made = row.problem(f"math/{subject}", columns)
    return replace(made, meta={"subject": subject})

"""MetaMathQA (arXiv 2309.12284): questions of GSM8K and MATH, answered anew by a language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from igpo_lightning.amounts import show
from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TableSource, first_of_each
from igpo_lightning.data.sources.rows import NO_ANSWER, OnBadRow, Row, gather, is_utf8
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem

TYPES = ("GSM_AnsAug", "MATH_AnsAug")
"""The answer augmentations: original questions. arXiv 2509.10396, section 4.1, trains on these."""

_MARK = "The answer is:"
_ORIGINAL = "original_question"


class MetaMath(TableSource):
    """MetaMathQA: fields ``query``, ``response``, ``type`` and ``original_question``.

    A response ends in "The answer is: X", which is both the end of the trace and the answer. Rows of
    other types, and further answers to the same query, are dropped and counted: one row per query is what
    arXiv 2509.10396 trains on. What is held out is chosen by the original question, so that no variant of
    it is trained on; a row that names none is a question of its own.

    Args:
        path: The hub's ``meta-math/MetaMathQA``, or a copy of it.
        types: Kinds of augmentation to keep; null keeps all.
        revision: Commit, branch or tag of the hub's data set.
        on_bad_row: What to do about a row that can't be used: "error", or "drop" it and count it.
        **split: ``train_size``, ``val_size``, ``test_size``, ``split_seed``; see :class:`TableSource`.

    Raises:
        ConfigError: The table can't be read, a row is malformed, or no row is of these types.
    """

    name = "metamath"

    def __init__(
        self,
        path: str,
        types: Sequence[str] | None = TYPES,
        revision: str | None = None,
        on_bad_row: OnBadRow = "drop",
        **split: Any,
    ) -> None:
        super().__init__(**split)
        seen: Counter[str] = Counter()
        rows = _of_types(iter_table(path, key="data.path", revision=revision), types, seen)
        answers, dropped = gather(rows, _problem, on_bad_row)
        if types is not None and (others := sum(seen[kind] for kind in seen if kind not in types)):
            dropped["another type"] = others
        if not answers:
            asked, known = show(list(types or ())), show(sorted(seen))
            raise ConfigError(f"data.source.types={asked}: no row is left; the types are {known}")
        problems = first_of_each(answers, dropped)
        self.split(problems, by=lambda p: p.meta[_ORIGINAL], dropped=dropped)


def _of_types(rows: Iterable[Row], types: Sequence[str] | None, seen: Counter[str]) -> Iterator[Row]:
    """The rows of these types, and those that name none; ``seen`` counts all types."""
    for row in rows:
        kind = row.fields.get("type")
        if isinstance(kind, str):
            seen[kind] += 1
        if types is None or not isinstance(kind, str) or kind in types:
            yield row


def _problem(row: Row) -> Problem:
    """The row as a problem.

    Raises:
        BadRow: A part is missing, or its response says no answer.
    """
    kind, trace = row.text("type"), row.text("response").strip()
    _, mark, answer = trace.rpartition(_MARK)
    if not mark or not answer.strip():
        raise row.bad(NO_ANSWER, f"field 'response' must end in '{_MARK} X'")
    query = row.text("query").strip()
    original = row.fields.get(_ORIGINAL)
    known = isinstance(original, str) and is_utf8(original) and original.strip()
    meta = {"type": kind, _ORIGINAL: original if known else query}
    return Problem(f"metamath/{row.index}", query, trace, row.short_answer(answer), meta)

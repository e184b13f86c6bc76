"""MetaMathQA (arXiv 2309.12284): questions of GSM8K and MATH, answered anew by a language model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TableSource, check_sizes, hold_out
from igpo_lightning.data.sources.rows import Row
from igpo_lightning.data.sources.tables import read_table
from igpo_lightning.types import Problem

TYPES = ("GSM_AnsAug", "MATH_AnsAug")
"""The answer augmentations: original questions. arXiv 2509.10396, section 4.1, trains on these."""

_MARK = "The answer is:"
_ORIGINAL = "original_question"


class MetaMath(TableSource):
    """MetaMathQA: fields ``query``, ``response``, ``type`` and ``original_question``.

    A response ends in "The answer is: X", which is both the end of the trace and the answer. Rows of
    other types, rows without an answer, and further answers to the same query are dropped and counted.
    What is held out is chosen by the original question, so that no variant of it is trained on.

    Args:
        path: The hub's ``meta-math/MetaMathQA``, or a copy of it.
        types: Kinds of augmentation to keep; null keeps all.
        revision: Commit, branch or tag of the hub's data set.
        train_size: At most so many training problems; null takes all.
        heldout_size: Number of original questions held out.
        seed: Names the choice of rows.

    Raises:
        ConfigError: The table can't be read, a row is malformed, or no row is of these types.
    """

    def __init__(
        self,
        path: str,
        types: Sequence[str] | None = TYPES,
        revision: str | None = None,
        train_size: int | None = None,
        heldout_size: int = 500,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        dropped: Counter[str] = Counter()
        found: dict[str, Problem] = {}
        seen: set[str] = set()
        for row in read_table(path, key="data.path", revision=revision):
            kind = row.text("type")
            seen.add(kind)
            if types is not None and kind not in types:
                dropped["another type"] += 1
            elif (made := _problem(row)) is None:
                dropped["no answer"] += 1
            elif made.prompt in found:
                dropped["repeated question"] += 1
            else:
                found[made.prompt] = made
        if not found:
            raise ConfigError(
                f"data.source.types={list(types or ())}: no row is left; the types are {sorted(seen)}"
            )
        train, heldout = hold_out(list(found.values()), heldout_size, seed, by=_original)
        super().__init__("metamath", train, heldout, train_size=train_size, seed=seed, dropped=dropped)


def _problem(row: Row) -> Problem | None:
    """The row as a problem; None if its response says no answer."""
    trace = row.text("response").strip()
    _, mark, answer = trace.rpartition(_MARK)
    if not mark or not answer.strip():
        return None
    meta = {"type": row.text("type"), _ORIGINAL: row.text(_ORIGINAL)}
    return Problem(f"metamath/{row.index}", row.text("query").strip(), trace, answer.strip(), meta)


def _original(problem: Problem) -> str:
    return problem.meta[_ORIGINAL]

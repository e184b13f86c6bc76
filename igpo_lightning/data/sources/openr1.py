"""OpenR1-Math-220k: competition problems with long reasoning traces of DeepSeek-R1."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TableSource, first_of_each
from igpo_lightning.data.sources.rows import NO_ANSWER, UNCHECKABLE, OnBadRow, Row, gather, is_utf8
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem

TRACES = ("generation", "solution")
_VERDICTS = ("correctness_math_verify", "correctness_llama")
_META = ("problem_type", "question_type", "source", "uuid")
_COLUMNS = ("problem", "answer", "solution", "generations", "is_reasoning_complete", *_VERDICTS, *_META)
_THINK = re.compile(r"\s*</?think>\s*")


class OpenR1(TableSource):
    """OpenR1-Math-220k: fields ``problem``, ``answer``, ``solution`` and a list of ``generations``.

    The trace is either the first generation that is complete and that one of the two checks of its
    makers calls correct, or the human ``solution``. A generation's thoughts and the solution after them
    are both kept, without the ``<think>`` marks. Problems without an answer ("proof") or without such
    a trace, and repeated problems, are dropped and counted.

    Args:
        path: The hub's ``open-r1/OpenR1-Math-220k``, or a copy of it.
        trace: "generation" or "solution".
        config: "default" (94k problems), "extended" (131k).
        revision: Commit, branch or tag of the hub's data set.
        on_bad_row: What to do about a row that can't be used: "error", or "drop" it and count it.
        **split: ``train_size``, ``val_size``, ``test_size``, ``split_seed``; see :class:`TableSource`.

    Raises:
        ConfigError: The table can't be read, or a row is malformed.
    """

    name = "openr1"

    def __init__(
        self,
        path: str,
        trace: str = "generation",
        config: str | None = "default",
        revision: str | None = None,
        on_bad_row: OnBadRow = "drop",
        **split: Any,
    ) -> None:
        super().__init__(**split)
        if trace not in TRACES:
            raise ConfigError(f"data.source.trace={trace}: expected {' or '.join(TRACES)}")
        rows = iter_table(path, key="data.path", config=config, revision=revision, columns=_COLUMNS)
        answers, dropped = gather(rows, lambda row: _problem(row, trace), on_bad_row)
        self.split(first_of_each(answers, dropped), dropped=dropped)


def _problem(row: Row, kind: str) -> Problem:
    """The row as a problem.

    Raises:
        BadRow: It has no answer that can be checked, or no trace of this kind.
    """
    answer = row.fields.get("answer")
    if answer is None or str(answer).strip().lower() in {"", *UNCHECKABLE}:
        raise row.bad(NO_ANSWER, f"its answer is {answer!r}")
    trace = _generation(row) if kind == "generation" else row.optional_text("solution").strip()
    if not trace:
        what = "correct generation" if kind == "generation" else "solution"
        raise row.bad(f"no {what}", f"it has no {what}")
    meta = {name: row.fields[name] for name in _META if row.fields.get(name) is not None}
    return Problem(
        f"openr1/{row.index}",
        row.text("problem").strip(),
        trace,
        row.short_answer(row.text("answer", numbers=True)),
        meta,
    )


def _generation(row: Row) -> str:
    """The first complete generation that a check calls correct, thoughts first, then the solution; or
    none."""
    texts, complete = _list(row, "generations"), _list(row, "is_reasoning_complete")
    verdicts = [_list(row, name) for name in _VERDICTS]
    for i, text in enumerate(texts):
        right = _true(complete, i) and any(_true(verdict, i) for verdict in verdicts)
        if right and is_utf8(text):
            return _THINK.sub("\n\n", text).strip()
    return ""


def _list(row: Row, name: str) -> Sequence[Any]:
    """A list field; null, as where a check was not made, is the empty list."""
    value = row.fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise row.bad(f"{name} of another type", f"field {name!r} must be a list, got {type(value).__name__}")
    return value


def _true(values: Sequence[Any], index: int) -> bool:
    return index < len(values) and values[index] is True

"""OpenR1-Math-220k: competition problems with long reasoning traces of DeepSeek-R1."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import TableSource, check_sizes, hold_out
from igpo_lightning.data.sources.rows import Row
from igpo_lightning.data.sources.tables import iter_table
from igpo_lightning.types import Problem

TRACES = ("generation", "solution")
_NO_ANSWERS = {"", "proof", "notfound"}  # what NuminaMath writes where there is nothing to check
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
        train_size: At most so many training problems; null takes all.
        heldout_size: Number of problems held out, chosen by their prompts.
        seed: Names the choice of rows.

    Raises:
        ConfigError: The table can't be read, or a row is malformed.
    """

    def __init__(
        self,
        path: str,
        trace: str = "generation",
        config: str | None = "default",
        revision: str | None = None,
        train_size: int | None = None,
        heldout_size: int = 500,
        seed: int = 0,
    ) -> None:
        check_sizes(train_size, heldout_size)
        if trace not in TRACES:
            raise ConfigError(f"data.source.trace={trace}: expected {' or '.join(TRACES)}")
        dropped: Counter[str] = Counter()
        found: dict[str, Problem] = {}
        for row in iter_table(path, key="data.path", config=config, revision=revision, columns=_COLUMNS):
            made = _problem(row, trace)
            if isinstance(made, str):
                dropped[made] += 1
            elif made.prompt in found:
                dropped["repeated question"] += 1
            else:
                found[made.prompt] = made
        if not found:
            raise ConfigError(f"data.path={path}: no row is left; dropped {dict(dropped)}")
        train, heldout = hold_out(list(found.values()), heldout_size, seed)
        super().__init__("openr1", train, heldout, train_size=train_size, seed=seed, dropped=dropped)


def _problem(row: Row, kind: str) -> Problem | str:
    """The row as a problem, or why it is none."""
    answer = row.fields.get("answer")
    if answer is None or str(answer).strip().lower() in _NO_ANSWERS:
        return "no answer"
    trace = _generation(row) if kind == "generation" else row.fields.get("solution")
    if not trace or not trace.strip():
        return f"no {'correct generation' if kind == 'generation' else 'solution'}"
    meta = {name: row.fields[name] for name in _META if row.fields.get(name) is not None}
    return Problem(
        f"openr1/{row.index}", row.text("problem").strip(), trace.strip(), row.text("answer").strip(), meta
    )


def _generation(row: Row) -> str | None:
    """The first complete generation that a check calls correct, thoughts first, then the solution."""
    texts, complete = _list(row, "generations"), _list(row, "is_reasoning_complete")
    verdicts = [_list(row, name) for name in _VERDICTS]
    for i, text in enumerate(texts):
        if _true(complete, i) and any(_true(verdict, i) for verdict in verdicts):
            return _THINK.sub("\n\n", str(text))
    return None


def _list(row: Row, name: str) -> Sequence[Any]:
    """A list field; null, as where a check was not made, is the empty list."""
    value = row.fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ConfigError(f"{row.where}: field {name!r} must be a list, got {type(value).__name__}")
    return value


def _true(values: Sequence[Any], index: int) -> bool:
    return index < len(values) and values[index] is True

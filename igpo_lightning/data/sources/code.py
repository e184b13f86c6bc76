"""Programming problems with unit tests, one JSON object a row; docs/tasks.md shows the format.

The answer of such a problem is a program, so a trace tells it by every block of code, and by every line of
the last one that stands in the prose; hints are the words between.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from igpo_lightning.data.mentions import merged
from igpo_lightning.data.sources.rows import NO_ANSWER, BadRow, Row, kind_of
from igpo_lightning.rewards.sandbox_server import encode
from igpo_lightning.rewards.unit_tests import FENCED
from igpo_lightning.types import Problem

BAD_TEST = "a test that is none"
_KEYS = ({"call", "args", "expected"}, {"call", "kwargs", "expected"}, {"call", "args", "kwargs", "expected"})
_PROGRAM = {"stdin", "stdout"}
_SHORTEST = 6  # characters of a line of code that tells something


def read(
    row: Row, prefix: str, question: str = "question", tests: str = "tests", trace: str | None = "trace"
) -> Problem:
    """A row as a problem.

    Args:
        question, tests, trace: Names of its fields; there need be no trace.

    Raises:
        BadRow: A part is missing or of another form, or the trace does not end in a block of code.
    """
    given = row.fields.get(tests)
    if not isinstance(given, list) or not given:
        raise row.bad(f"no {tests}", f"field {tests!r} must be a list of tests, got {kind_of(given)}")
    read_tests = [_test(row, f"{tests}[{i}]", test) for i, test in enumerate(given)]
    prompt, text = row.text(question).strip(), row.optional_text(trace).strip()
    tells = _tells(row, text) if text else None
    return Problem(f"{prefix}/{row.index}", prompt, text, "", task={"tests": read_tests}, tells=tells)


def _test(row: Row, name: str, test: Any) -> dict[str, Any]:
    """A test as the sandbox takes it."""
    if isinstance(test, str):
        return _assertion(row, name, test)
    if isinstance(test, Mapping) and set(test) == _PROGRAM:
        if not all(isinstance(test[key], str) for key in _PROGRAM):
            raise _bad(row, name, "'stdin' and 'stdout' must be texts")
        return dict(test)
    if not isinstance(test, Mapping) or set(test) not in _KEYS:
        raise _bad(row, name, "expected call, args and expected, or stdin and stdout, or an assertion")
    args, kwargs = test.get("args", []), test.get("kwargs", {})
    if not isinstance(test["call"], str) or not test["call"].isidentifier():
        raise _bad(row, name, f"'call' must name a function, got {test['call']!r}")
    if not isinstance(args, list) or not isinstance(kwargs, Mapping):
        raise _bad(row, name, "'args' must be a list and 'kwargs' an object")
    return _call(test["call"], args, dict(kwargs), test["expected"])


def _assertion(row: Row, name: str, text: str) -> dict[str, Any]:
    """``assert f(1, [2]) == 3`` as a test: a call with plain values beside a plain value."""
    try:
        (statement,) = ast.parse(text.strip()).body
        test: Any = getattr(statement, "test", None)
        (expected,), call = test.comparators, test.left
        if not isinstance(statement, ast.Assert) or not isinstance(test.ops[0], ast.Eq):
            raise ValueError
        args = [ast.literal_eval(arg) for arg in call.args]
        kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        return _call(call.func.id, args, kwargs, ast.literal_eval(expected))
    except (SyntaxError, ValueError, TypeError, AttributeError, RecursionError):
        raise _bad(
            row, name, f"expected 'assert f(values) == value' with plain values, got {text[:80]!r}"
        ) from None


def _call(name: str, args: Any, kwargs: Any, expected: Any) -> dict[str, Any]:
    return {"call": name, "args": encode(args), "kwargs": encode(kwargs), "expected": encode(expected)}


def _bad(row: Row, name: str, message: str) -> BadRow:
    return row.bad(BAD_TEST, f"{name}: {message}")


def _tells(row: Row, trace: str) -> tuple[tuple[int, int], ...]:
    blocks = list(FENCED.finditer(trace))
    if not blocks:
        message = "field 'trace' holds no block of code (```python … ```), and so no program"
        raise row.bad(NO_ANSWER, message)
    last = blocks[-1]
    spans = [block.span() for block in blocks[:-1]]
    spans += _mentions(trace[: last.start()], last["code"])
    before = [span for span in merged(spans) if span[1] < last.start()]
    return *before, (last.start(), len(trace))


def _mentions(prose: str, code: str) -> Iterator[tuple[int, int]]:
    """Places of ``prose`` that say a line of ``code``."""
    for line in {line.strip() for line in code.splitlines()}:
        if len(line) >= _SHORTEST:
            words = map(re.escape, line.split())
            yield from (match.span() for match in re.finditer(r"\s+".join(words), prose))

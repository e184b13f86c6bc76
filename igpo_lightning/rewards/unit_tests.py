"""Reward of programs: the problem's tests, each in a process of its own that holds nothing but its input.

A program is given the arguments of a call, or text to read, and sends back a value, or what it printed. The
expected values stay here, and so does the comparison: there is no message that means "passed".
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from igpo_lightning.rewards.rewards import Stated
from igpo_lightning.rewards.sandbox import FAILED, Sandbox
from igpo_lightning.types import Problem

FENCED = re.compile(r"```[ \t]*(?:[Pp]y(?:thon)?3?)?[ \t]*\r?\n(?P<code>.*?)(?:```|\Z)", re.DOTALL)
"""A block of code; one that is never closed runs to the end."""

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # that floats may differ by


class UnitTests(Stated):
    """1 if the completion's program, its last fenced block, passes all tests of its problem, else 0.

    Args:
        sandbox: Runs programs.
        weight: Factor in the sum.
        partial: Pay the share of tests that are passed; correct is still who passes all. By default the first
            failure ends it.
    """

    needs = "tests"
    correct_from = 1.0

    def __init__(self, sandbox: Sandbox, weight: float = 1.0, partial: bool = False) -> None:
        super().__init__(weight, program_of)
        self.sandbox, self.partial = sandbox, partial

    def value(self, problem: Problem, answer: str) -> float:
        tests, passed = problem.task["tests"], 0
        for test in tests:
            if self._passes(answer, test):
                passed += 1
            elif not self.partial:
                return 0.0
        return passed / len(tests)

    def _passes(self, code: str, test: Mapping[str, Any]) -> bool:
        job = {name: value for name, value in test.items() if name not in ("expected", "stdout")}
        found = self.sandbox.run({"code": code, **job})
        if found is FAILED:
            return False
        if "stdout" in test:
            return isinstance(found, str) and _lines(found) == _lines(test["stdout"])
        return same(found, test["expected"])


def program_of(completion: str) -> str | None:
    """The last fenced block of a text; without any, the text; None if that is blank."""
    blocks = [match["code"] for match in FENCED.finditer(completion)]
    code = blocks[-1] if blocks else completion
    return code if code.strip() else None


def same(found: Any, expected: Any) -> bool:
    """True if two encoded values are equal; lists are like tuples, and floats may be a little apart."""
    if isinstance(expected, list) and isinstance(found, list) and found:
        kinds = {"tuple": "list"}
        if kinds.get(str(found[0]), found[0]) != kinds.get(expected[0], expected[0]) or len(found) != len(
            expected
        ):
            return False
        pairs = zip(*(_ordered(value) for value in (found, expected)), strict=True)
        return all(same(a, b) for a, b in pairs)
    if isinstance(expected, float) or isinstance(found, float):
        return _close(found, expected)
    return not isinstance(found, list) and found == expected


def _ordered(value: list[Any]) -> list[Any]:
    """The members of an encoded value; those of sets and dicts sorted, of dicts as pairs."""
    name, *items = value
    if name == "dict":
        return [["list", *item] for item in sorted(items, key=lambda item: json.dumps(item[0]))]
    return sorted(items, key=json.dumps) if name == "set" else items


def _close(found: Any, expected: Any) -> bool:
    if not all(isinstance(value, int | float) for value in (found, expected)):
        return False
    try:
        both_nan = math.isnan(found) and math.isnan(expected)
        return both_nan or math.isclose(found, expected, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    except OverflowError:  # of whole numbers
        return False


def _lines(text: str) -> list[str]:
    """Lines without white space at their ends, up to the last that is not blank."""
    return [line.rstrip() for line in text.rstrip().splitlines()]

"""Countdown: reach a target with given numbers, each used exactly once, by + - * / (d1, arXiv 2504.12216).

    prompt   Numbers : 3 4 2 . Target : 11
    trace    4 * 2 = 8 ; 8 + 3 = 11 #### 4 * 2 + 3

The answer is an expression, and any that is right is as good. So the trace's last operation tells it, too:
whoever copies the step that reaches the target has only to put together what stands before it. Hints hold
neither that step nor the final statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Literal

from igpo_lightning.checks import ConfigError, choice, interval, positive_int, template
from igpo_lightning.data.sources.base import TEST_SIZE, VAL_SIZE
from igpo_lightning.data.sources.generated import Drawn
from igpo_lightning.data.sources.rows import NO_ANSWER, Row
from igpo_lightning.types import Problem

MOST_NUMBERS = 6  # with which the search takes 0.1 s a problem

# Operators within an operand that need brackets, by the operator outside.
_LEFT = {"*": "+-", "/": "+-"}
_RIGHT = {"-": "+-", "*": "+-", "/": "+-*/"}


@dataclass(frozen=True)
class Node:
    """A number, or two nodes and the operator between them; all values are whole and above 0."""

    value: int
    sign: str = ""
    left: Node | None = None
    right: Node | None = None

    def steps(self) -> Iterator[str]:
        """Equations in an order in which they can be worked out; the last one gives the value."""
        if self.left and self.right:
            yield from self.left.steps()
            yield from self.right.steps()
            yield f"{self.left.value} {self.sign} {self.right.value} = {self.value}"

    def __str__(self) -> str:
        if not (self.left and self.right):
            return str(self.value)
        left = _within(self.left, _LEFT.get(self.sign, ""))
        return f"{left} {self.sign} {_within(self.right, _RIGHT.get(self.sign, ''))}"


class Countdown(Drawn):
    """Countdown problems with a solution each.

    Numbers are drawn at random, the target from all that can be reached by whole numbers above 0, and of
    its solutions one with few products and quotients and small numbers on the way.

    Args:
        train_size, val_size, test_size: Numbers of problems.
        numbers: (fewest, most) given numbers, at most 6.
        max_number: Largest given number.
        max_target: Largest target.
        max_value: Largest number on the way; null for max_target.
        trace: "steps", or "none" for problems with an answer alone.
        question: Template of the prompt with ``{numbers}`` and ``{target}``.
        separator: Between the numbers in it.
        seed, split_seed: See :class:`~igpo_lightning.data.sources.generated.Generated`.

    Raises:
        ConfigError: A value is out of range.
    """

    name = "countdown"

    def __init__(
        self,
        train_size: int = 20_000,
        val_size: int = VAL_SIZE,
        test_size: int = TEST_SIZE,
        numbers: Sequence[int] | int = 3,
        max_number: int = 20,
        max_target: int = 100,
        max_value: int | None = None,
        trace: Literal["steps", "none"] = "steps",
        question: str = "Numbers : {numbers} . Target : {target}",
        separator: str = " ",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.numbers = interval("data.source.numbers", numbers, 2, MOST_NUMBERS, integer=True)
        self.max_number = positive_int("data.source.max_number", max_number)
        self.max_target = positive_int("data.source.max_target", max_target)
        self.max_value = max(max_number, max_target) if max_value is None else max_value
        if positive_int("data.source.max_value", self.max_value) < max(max_number, max_target):
            raise ConfigError(
                f"data.source.max_value={max_value}: expected at least max_number and max_target"
            )
        self.trace = choice("data.source.trace", trace, "steps", "none")
        self.question = template("data.source.question", question, "{numbers}", "{target}")
        self.separator = separator
        super().__init__(train_size, val_size, test_size, seed, split_seed)

    def draw(self, rng: Random) -> tuple[list[int], Node] | None:
        low, high = self.numbers
        numbers = [rng.randint(1, self.max_number) for _ in range(rng.randint(int(low), int(high)))]
        reached = solutions(tuple(sorted(numbers)), self.max_value)
        targets = sorted(target for target in reached if target <= self.max_target)
        return (numbers, reached[rng.choice(targets)]) if targets else None

    def content(self, drawn: tuple[list[int], Node]) -> str:
        return f"{sorted(drawn[0])} {drawn[1].value}"

    def make(self, id: str, drawn: tuple[list[int], Node]) -> Problem:
        numbers, solution = drawn
        *before, last = solution.steps()
        start = len(" ; ".join([*before, ""]))
        trace = f"{' ; '.join([*before, last])} #### {solution}"
        with_trace = self.trace == "steps"
        return Problem(
            id,
            ask(self.question, self.separator, numbers, solution.value),
            trace if with_trace else "",
            str(solution),
            meta={"numbers": str(len(numbers))},
            task=_task(numbers, solution.value),
            tells=((start, start + len(last)), (start + len(last) + 1, len(trace))) if with_trace else None,
        )

    def vocabulary(self) -> list[str]:
        """Every word that any problem of these settings can hold."""
        words = {*ask(self.question, " ", [], "").split(), *["+", "-", "*", "/", "(", ")", "=", ";", "####"]}
        return sorted(words) + [str(n) for n in range(self.max_value + 1)]


def read(
    row: Row,
    prefix: str,
    question: str = "Numbers: [{numbers}]\nTarget: {target}",
    separator: str = ", ",
    count: Sequence[int] | int = (2, 6),
) -> Problem:
    """A row of a published table as a problem without a trace.

    Its fields are ``nums`` and ``target`` (Jiayi-Pan/Countdown-Tasks-3to4), or ``input``, numbers with commas
    between them, and ``output`` (d1's test set). The answer that reports show is the target.

    Raises:
        BadRow: It is none, or has not ``count`` (fewest, most) numbers.
    """
    low, high = interval("data.source.make.count", count, 1, integer=True)
    fields: Any = row.fields
    given, target = fields.get("nums", fields.get("input")), fields.get("target", fields.get("output"))
    found = re.findall(r"\d+", given) if isinstance(given, str) else given
    try:
        numbers, goal = [int(n) for n in found], int(target)
    except (TypeError, ValueError):
        raise row.bad(NO_ANSWER, "expected nums and target, or input and output, in whole numbers") from None
    if not low <= len(numbers) <= high:
        raise row.bad("another number of numbers", f"it has {len(numbers)} numbers, not {low:g} to {high:g}")
    prompt = ask(question, separator, numbers, goal)
    meta = {"numbers": str(len(numbers))}
    return Problem(f"{prefix}/{row.index}", prompt, "", str(goal), meta, _task(numbers, goal))


def ask(question: str, separator: str, numbers: Sequence[int], target: Any) -> str:
    """``question`` with its two places filled."""
    return question.replace("{numbers}", separator.join(map(str, numbers))).replace("{target}", str(target))


@lru_cache(maxsize=4096)
def solutions(numbers: tuple[int, ...], max_value: int) -> dict[int, Node]:
    """For each value that can be made of all ``numbers``, a plain way to make it."""
    whole = (1 << len(numbers)) - 1
    made: list[dict[int, tuple[tuple[int, int], Node]]] = [{} for _ in range(whole + 1)]
    for i, number in enumerate(numbers):
        made[1 << i][number] = (0, number), Node(number)
    for subset in range(3, whole + 1):  # a set of numbers as bits: its parts come before it
        left = (subset - 1) & subset
        while left > subset ^ left:
            _join(made[left], made[subset ^ left], made[subset], max_value)
            left = (left - 1) & subset
    return {value: node for value, (_, node) in made[whole].items()}


def _join(left: Any, right: Any, into: Any, max_value: int) -> None:
    for a, ((products_a, largest_a), node_a) in left.items():
        for b, ((products_b, largest_b), node_b) in right.items():
            high, low = (node_a, node_b) if a >= b else (node_b, node_a)
            for sign, value in _results(high.value, low.value):
                cost = products_a + products_b + (sign in "*/"), max(largest_a, largest_b, value)
                if value <= max_value and (value not in into or cost < into[value][0]):
                    into[value] = cost, Node(value, sign, high, low)


def _results(high: int, low: int) -> Iterator[tuple[str, int]]:
    yield "+", high + low
    yield "*", high * low
    if high > low:
        yield "-", high - low
    if high % low == 0:
        yield "/", high // low


def _within(node: Node, weaker: str) -> str:
    return f"( {node} )" if node.sign and node.sign in weaker else str(node)


def _task(numbers: Sequence[int], target: int) -> dict[str, Any]:
    return {"numbers": sorted(numbers), "target": target}

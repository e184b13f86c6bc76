"""Rewards of Countdown and Sudoku, as d1 pays them (arXiv 2504.12216; dllm-reasoning/d1, reward_func.py).

There, Countdown pays 1 for an expression that is right and 0.1 for any other that is stated; here that is
0.9 for :class:`Countdown` and 0.1 for :class:`~igpo_lightning.rewards.rewards.Stated`. Sudoku pays the share
of empty cells that are right.
"""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction

from igpo_lightning.rewards.rewards import Stated
from igpo_lightning.types import Problem

MAX_CHARS = 200
"""Longer expressions are wrong, unread."""

_SIGNS = {r"\times": "*", r"\cdot": "*", r"\div": "/", "×": "*", "·": "*", "÷": "/", "−": "-"}
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_NOISE = re.compile(r"\\(?:left|right)(?![a-z])|\\[(),;:! ]|[$\[\]]")
_ALLOWED = re.compile(r"[-+*/()\d\s]+")
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(expression: str) -> tuple[Fraction, list[int]] | None:
    """(exact value, the whole numbers in it) of an expression of + - * / and brackets; None if it is none.

    Nothing is executed: the text is parsed, and only these operations are carried out.
    """
    text = _NOISE.sub("", _SIGN.sub(lambda sign: _SIGNS[sign[0]], expression[: MAX_CHARS + 1]))
    if len(expression) > MAX_CHARS or not _ALLOWED.fullmatch(text):
        return None
    numbers: list[int] = []

    def value(node: ast.AST) -> Fraction:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            numbers.append(node.value)
            return Fraction(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = value(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        raise ValueError  # powers, calls, whole-number division

    try:
        return value(ast.parse(" ".join(text.split()), mode="eval").body), numbers
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


class Countdown(Stated):
    """1 if the stated expression is worth ``target`` and uses each of ``numbers`` once, else 0."""

    needs = "numbers"

    def value(self, problem: Problem, answer: str) -> float:
        numbers, found = problem.task["numbers"], evaluate(answer)
        return (
            found is not None and found[0] == problem.task["target"] and sorted(found[1]) == sorted(numbers)
        )


class SudokuSolved(Stated):
    """1 if the stated grid keeps all givens and the rules, else 0; of several solutions any is right."""

    needs = "puzzle"

    def value(self, problem: Problem, answer: str) -> float:
        puzzle, grid = problem.task["puzzle"], _digits(answer)
        return len(grid) == len(puzzle) and is_solved(grid) and keeps(grid, puzzle)


class SudokuCells(Stated):
    """Share of the empty cells that the stated grid fills rightly; those that it lacks are wrong."""

    needs = "puzzle"

    def value(self, problem: Problem, answer: str) -> float:
        puzzle, solution = problem.task["puzzle"], problem.task["solution"]
        given = _digits(answer).ljust(len(puzzle), "0")
        empty = [i for i, cell in enumerate(puzzle) if cell == "0"]
        return sum(given[i] == solution[i] for i in empty) / max(1, len(empty))


def is_solved(grid: str) -> bool:
    """True if each row, column and box of a 4x4 grid of 16 cells holds 1, 2, 3 and 4."""
    return all({grid[i] for i in cells} == set("1234") for cells in _UNITS)


def keeps(grid: str, puzzle: str) -> bool:
    """True if ``grid`` has the givens of ``puzzle`` at their places; 0 is an empty cell."""
    return all(given in ("0", cell) for given, cell in zip(puzzle, grid, strict=True))


_UNITS = (
    *(range(4 * row, 4 * row + 4) for row in range(4)),
    *(range(column, 16, 4) for column in range(4)),
    *((corner, corner + 1, corner + 4, corner + 5) for corner in (0, 2, 8, 10)),
)


def _digits(answer: str) -> str:
    return "".join(re.findall("[0-9]", answer))

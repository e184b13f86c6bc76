"""Sudoku of 4 x 4 cells, as d1 asks it (arXiv 2504.12216): 16 digits from top left on, 0 for empty.

Every puzzle has one solution. There are 288 grids, all of which may be seen in training: held out are
puzzles. The trace is the statement of the answer, so there is nothing in it to give as a hint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from random import Random
from typing import Literal

from igpo_lightning.checks import choice, interval, template
from igpo_lightning.data.sources.base import TEST_SIZE, VAL_SIZE
from igpo_lightning.data.sources.generated import Drawn
from igpo_lightning.data.sources.rows import NO_ANSWER, Row
from igpo_lightning.rewards.puzzles import is_solved, keeps
from igpo_lightning.types import Problem

CELLS = 16


class Sudoku(Drawn):
    """Sudoku puzzles with their solutions.

    Args:
        train_size, val_size, test_size: Numbers of problems.
        blanks: (fewest, most) empty cells, at most 12: fewer than four givens never tell the solution.
        trace: "answer", what fine-tuning learns, or "none" for problems with an answer alone.
        question: Template of the prompt with ``{puzzle}``.
        separator: Between the digits of a puzzle and of its solution.
        seed, split_seed: See :class:`~igpo_lightning.data.sources.generated.Generated`.

    Raises:
        ConfigError: A value is out of range.
    """

    name = "sudoku"

    def __init__(
        self,
        train_size: int = 20_000,
        val_size: int = VAL_SIZE,
        test_size: int = TEST_SIZE,
        blanks: Sequence[int] | int = 8,
        trace: Literal["answer", "none"] = "answer",
        question: str = "Sudoku : {puzzle}",
        separator: str = " ",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.blanks = interval("data.source.blanks", blanks, 1, 12, integer=True)
        self.trace = choice("data.source.trace", trace, "answer", "none")
        self.question = template("data.source.question", question, "{puzzle}")
        self.separator = separator
        super().__init__(train_size, val_size, test_size, seed, split_seed)

    def draw(self, rng: Random) -> tuple[str, str]:
        low, high = self.blanks
        solution = rng.choice(grids())
        empty = set(rng.sample(range(CELLS), rng.randint(int(low), int(high))))
        puzzle = "".join("0" if i in empty else cell for i, cell in enumerate(solution))
        return puzzle, solution

    def content(self, drawn: tuple[str, str]) -> str:
        return drawn[0]

    def make(self, id: str, drawn: tuple[str, str]) -> Problem | None:
        if len(solutions(drawn[0])) > 1:
            return None
        problem = _problem(id, *drawn, self.question, self.separator)
        if self.trace == "none":
            return problem
        trace = f"#### {problem.answer}"
        return Problem(
            id, problem.prompt, trace, problem.answer, problem.meta, problem.task, tells=((0, len(trace)),)
        )

    def vocabulary(self) -> list[str]:
        """Every word that any problem can hold."""
        return sorted({*self.question.replace("{puzzle}", "").split(), "####", *"01234"})


def read(
    row: Row,
    prefix: str,
    question: str = "Solve the following Sudoku puzzle: {puzzle}\n",
    separator: str = "",
) -> Problem:
    """A row of a published table (d1's 4x4 files: ``Puzzle``, ``Solution``) as a problem without a trace.

    Raises:
        BadRow: The two are no puzzle and its solution.
    """
    puzzle, solution = row.text("Puzzle").strip(), row.text("Solution").strip()
    if len(puzzle) != CELLS or solution not in grids() or not keeps(solution, puzzle):
        raise row.bad(NO_ANSWER, f"{puzzle!r} and {solution!r} are no 4x4 puzzle and its solution")
    return _problem(f"{prefix}/{row.index}", puzzle, solution, question, separator)


@cache
def grids() -> tuple[str, ...]:
    """All 288 solved grids."""
    rows = ["".join(row) for row in permutations("1234")]
    bands = [a + b for a, b in product(rows, repeat=2) if not {*a[:2]} & {*b[:2]}]  # two rows, boxes right
    return tuple(a + b for a, b in product(bands, repeat=2) if is_solved(a + b))


def solutions(puzzle: str) -> list[str]:
    """All grids that keep the givens of ``puzzle``."""
    return [grid for grid in grids() if keeps(grid, puzzle)]


def _problem(id: str, puzzle: str, solution: str, question: str, separator: str) -> Problem:
    prompt = question.replace("{puzzle}", separator.join(puzzle))
    meta, task = {"blanks": str(puzzle.count("0"))}, {"puzzle": puzzle, "solution": solution}
    return Problem(id, prompt, "", separator.join(solution), meta, task)

"""Countdown and Sudoku are graded by their rules."""

from fractions import Fraction

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import Countdown, RewardSum, Stated, SudokuCells, SudokuSolved
from igpo_lightning.rewards.puzzles import evaluate
from igpo_lightning.types import Problem

COUNTDOWN = Problem("c/0", "", "", "", task={"numbers": [30, 93, 100], "target": 23})
SUDOKU = Problem("s/0", "", "", "", task={"puzzle": "3102200002100320", "solution": "3142243142131324"})


@pytest.mark.parametrize(
    ("text", "value", "numbers"),
    [("3 + 4 * 2", 11, [3, 4, 2]), ("(3+4)*2", 14, [3, 4, 2]), ("8 / 3", Fraction(8, 3), [8, 3]),
     ("-3 + 5", 2, [3, 5]), (r"$3 \times 4 \div 2$", 6, [3, 4, 2]), ("3 − 4·2", -5, [3, 4, 2]),
     (r"\left(3+4\right)\cdot 2", 14, [3, 4, 2])],
)  # fmt: skip
def test_expressions(text, value, numbers):
    assert evaluate(text) == (value, numbers)


@pytest.mark.parametrize(
    "text",
    ["", "2 ** 3", "9 // 2", "2(3)", "1 / 0", "1 / (2 - 2)", "3 + 4 = 7", "3.5 + 1", "x + 1", "07 + 1",
     "1, 2",
     "__import__('os')", "()", "1 if 2 else 3", "(" * 150 + "1" + ")" * 150, "+".join("1" * 150),
     "9" * 201, "1e3", "3 4", "1 +", "~3", "1 < 2"],
)  # fmt: skip
def test_no_expressions(text):
    assert evaluate(text) is None


@pytest.mark.parametrize(
    ("completion", "right"),
    [("<answer>\n30 + 93 - 100\n</answer>", True), (r"so \boxed{(93+30)-100}", True),
     ("#### 93 - 100 + 30", True),
     ("<answer>93 - 70</answer>", False), ("<answer>23</answer>", False),
     ("<answer>30+93-100+0</answer>", False),
     ("<answer>30+93-100 = 23</answer>", False), ("<answer>30+93-100+30-30</answer>", False),
     ("<answer>30+100-93</answer>", False), ("30 + 93 - 100", False),
     ("<answer>30+93-100</answer> no: <answer>1</answer>", False)],
)  # fmt: skip
def test_countdown(completion, right):
    """30 + 93 - 100 = 23; all three numbers, each once, and nothing else."""
    assert Countdown()([COUNTDOWN], [completion]) == [float(right)]


def test_countdown_pays_as_published():
    """1 for a right expression, 0.1 for one that is stated, 0 for none; only the first is correct."""
    reward = RewardSum({"accuracy": Countdown(0.9), "format": Stated(0.1)}, "accuracy")
    scores = reward([COUNTDOWN] * 3, ["#### 30 + 93 - 100", "#### 1 + 1", "no idea"])
    assert scores.total.tolist() == pytest.approx([1.0, 0.1, 0.0])
    assert scores.correct.tolist() == [True, False, False]
    assert scores.answers.tolist()[2] == -1 and reward.read("#### 1 + 1") == "1 + 1"


@pytest.mark.parametrize(
    ("grid", "cells", "solved"),
    [("3142243142131324", 1.0, 1.0), ("3 1 4 2\n2 4 3 1\n4 2 1 3\n1 3 2 4", 1.0, 1.0),
     ("3142243142131342", 7 / 8, 0.0),  # the last cell is wrong, the one before it was given
     ("1142243142131324", 1.0, 0.0),  # all empty cells are right, but a given is not kept
     ("3142", 1 / 8, 0.0), ("31422431421313240", 1.0, 0.0), ("", 0.0, 0.0)],
)  # fmt: skip
def test_sudoku(grid, cells, solved):
    """Of 3102 2000 0210 0320 eight cells are empty: 4; 4 3 1; 4, 3; 1, 4."""
    completion = f"<answer>\n{grid}\n</answer>"
    assert SudokuCells()([SUDOKU], [completion]) == pytest.approx([cells])
    assert SudokuSolved()([SUDOKU], [completion]) == [solved]


def test_another_solution_is_right():
    problem = Problem("s/1", "", "", "", task={"puzzle": "0" * 16, "solution": "3142243142131324"})
    assert SudokuSolved()([problem], ["#### 1234341221434321"]) == [1.0]
    assert SudokuSolved()([problem], ["#### 1234341221434312"]) == [0.0]


def test_a_problem_of_another_task_is_one_line():
    with pytest.raises(
        ConfigError, match=r"problem x/1 has no 'numbers', which Countdown reads; .*of one task"
    ):
        Countdown()([Problem("x/1", "", "", "3")], ["no answer"])

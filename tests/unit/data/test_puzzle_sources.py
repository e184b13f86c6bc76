"""Countdown and Sudoku problems: right, repeatable, in parts that share nothing; hints do not tell."""

import json
import re
from collections import Counter

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.data.sources import Countdown, Sudoku, Table, sudoku
from igpo_lightning.data.sources import countdown as module
from igpo_lightning.data.sources.rows import BadRow, Row
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.rewards import Countdown as Reward
from igpo_lightning.rewards import SudokuSolved
from igpo_lightning.rewards.puzzles import evaluate, is_solved

SIZES = {"train_size": 200, "val_size": 40, "test_size": 40}


@pytest.fixture(scope="module", params=[2, 3, [3, 4]], ids=str)
def source(request):
    return Countdown(**SIZES, numbers=request.param, max_number=30)


def every(source):
    return [*source.train, *source.val, *source.test]


def content(problem):
    return json.dumps(problem.task, sort_keys=True)


def test_answers_are_right_and_traces_lead_to_them(source):
    reward = Reward()
    for problem in every(source):
        assert reward([problem], [problem.trace]) == [1.0]
        *steps, last = problem.trace.partition(" #### ")[0].split(" ; ")
        for step in [*steps, last]:
            left, value = step.split(" = ")
            assert evaluate(left)[0] == int(value)
        assert int(last.split(" = ")[1]) == problem.task["target"]
        assert len(steps) == len(problem.task["numbers"]) - 2
        assert re.findall(r"\d+", problem.prompt)[-1] == str(problem.task["target"])


def test_parts_share_nothing_whatever_the_seeds(source):
    other = Countdown(**SIZES, numbers=3, max_number=30, seed=5, split_seed=7)
    for train in (source.train, other.train):
        held = {content(p) for s in (source, other) for p in (*s.val, *s.test)}
        assert held.isdisjoint(map(content, train))
    assert {content(p) for p in other.val}.isdisjoint(content(p) for p in source.test)
    for part in (source.val, source.test):
        assert len({content(p) for p in part}) == len(part) == 40


def test_the_held_out_belong_to_the_split_seed_alone():
    a, b = Countdown(**SIZES, seed=1), Countdown(**SIZES, seed=2)
    assert a.val == b.val and a.test == b.test and list(a.train) != list(b.train)
    assert Countdown(**SIZES, split_seed=1).val != a.val
    assert list(a.train) == list(Countdown(**SIZES, seed=1).train)


def hints(source, prompt=None):
    tokenizer = word_level(source.vocabulary())
    encoder = Encoder(tokenizer, prompt)
    for problem in source.train:
        encoded = encoder.encode(problem)
        yield (
            problem,
            [None if t == encoder.mask_id else tokenizer.convert_ids_to_tokens(t) for t in encoded.hint],
        )


def test_hints_hold_neither_the_last_step_nor_the_answer(source):
    for problem, hint in hints(source):
        *before, last = problem.trace.partition(" #### ")[0].split(" ; ")
        given = " ; ".join([*before, ""]).split()
        assert hint == given + [None] * len(last.split())
        shown = [word for word in hint if word]
        for start in range(len(shown)):  # no run of it is a right answer
            for stop in range(start + 1, len(shown) + 1):
                assert Reward()([problem], ["#### " + " ".join(shown[start:stop])]) == [0.0]


def test_hints_under_another_layout():
    prompt = PromptFormat("t", response="{reasoning} #### {answer}")
    for problem, hint in hints(Countdown(**SIZES), prompt):
        first = problem.trace.split(" ; ")[0].split()
        assert hint[: len(first) + 1] == [*first, ";"] and set(hint[len(first) + 1 :]) == {None}


def test_solutions_by_hand():
    """Of 2 and 4: 6, 8, 2 and 2 (a quotient costs more than a difference)."""
    assert {v: str(node) for v, node in module.solutions((2, 4), 100).items()} == {
        6: "4 + 2",
        8: "4 * 2",
        2: "4 - 2",
    }
    assert str(module.solutions((2, 3, 4), 100)[14]) in ("( 4 + 3 ) * 2",)
    assert max(module.solutions((9, 9, 9), 100)) == 90  # 9 * 9 + 9; 9 * 9 * 9 is above 100
    assert str(module.solutions((6, 7, 14), 100)[1]) in ("14 - 7 - 6", "14 - ( 7 + 6 )")


@pytest.mark.parametrize("numbers", [(3, 5, 7), (2, 3, 8, 9), (1, 1, 5)])
def test_no_solution_is_missed(numbers):
    """Against all ways to put operators between all orders, with brackets on either side."""
    found = set()

    def search(values):
        if len(values) == 1:
            found.add(values[0])
        for i, a in enumerate(values):
            for j, b in enumerate(values):
                rest = [v for k, v in enumerate(values) if k not in (i, j)]
                ways = [a + b, a * b, a - b, a // b if a % b == 0 else 0] if i != j else []
                for value in ways:
                    if 0 < value <= 60:
                        search([*rest, value])

    search(list(numbers))
    assert set(module.solutions(numbers, 60)) == found


def test_without_traces_there_is_an_answer_alone():
    problem = Countdown(**SIZES, trace="none").train[0]
    assert (
        problem.trace == ""
        and problem.tells is None
        and Reward()([problem], [f"#### {problem.answer}"]) == [1.0]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"numbers": 7}, "data.source.numbers"), ({"max_number": 0}, "data.source.max_number"),
     ({"max_value": 10}, "data.source.max_value=10"), ({"trace": "long"}, "data.source.trace"),
     ({"question": "?"}, r"data.source.question: it must contain {numbers}"),
     ({"max_number": 2, "max_target": 3, "val_size": 100}, r"data.val_size=100: there are only about \d+")],
)  # fmt: skip
def test_wrong_settings_are_one_line(settings, message):
    with pytest.raises(ConfigError, match=message):
        Countdown(**{**SIZES, **settings})


@pytest.mark.parametrize(
    "fields",
    [{"nums": [30, 100, 93], "target": 23}, {"input": "30,100,93", "output": "23"}],
    ids=["hub", "d1"],
)
def test_published_rows(fields):
    problem = module.read(Row("f:1", 4, fields), "countdown")
    assert problem.prompt == "Numbers: [30, 100, 93]\nTarget: 23" and problem.id == "countdown/4"
    assert problem.task == {"numbers": [30, 93, 100], "target": 23} and problem.trace == ""


@pytest.mark.parametrize(
    "fields", [{}, {"nums": [1, 2], "target": 3}, {"nums": ["x"], "target": 1}, {"input": "1,2,3"}]
)
def test_rows_that_are_none_are_named(fields):
    with pytest.raises(BadRow, match=r"^f:1: "):
        module.read(Row("f:1", 0, fields), "c", count=3)


def test_the_same_numbers_in_another_order_are_one_problem(tmp_path):
    file = tmp_path / "train.jsonl"
    rows = [{"nums": nums, "target": t} for t in range(20, 60) for nums in ([5, 6, 7], [7, 6, 5])]
    file.write_text("\n".join(map(json.dumps, rows)))
    source = Table(str(file), make=module.read, val_size=5, test_size=5)
    held = {content(p) for p in (*source.val, *source.test)}
    assert len(held) == 10 and held.isdisjoint(map(content, source.train)) and len(source.train) == 60


@pytest.fixture(scope="module")
def grids():
    return Sudoku(**SIZES, blanks=[4, 10])


def test_puzzles_have_one_solution_which_is_the_answer(grids):
    assert len(sudoku.grids()) == len(set(sudoku.grids())) == 288
    for problem in every(grids):
        puzzle, solution = problem.task["puzzle"], problem.task["solution"]
        assert sudoku.solutions(puzzle) == [solution] and is_solved(solution)
        assert SudokuSolved()([problem], [problem.trace]) == [1.0]
        assert problem.prompt.split()[2:] == list(puzzle) and 4 <= puzzle.count("0") <= 10
    assert len(Counter(p.task["puzzle"].count("0") for p in grids.train)) == 7


def test_puzzles_of_the_parts_differ(grids):
    held = {p.task["puzzle"] for p in (*grids.val, *grids.test)}
    assert len(held) == 80 and held.isdisjoint(p.task["puzzle"] for p in grids.train)


def test_a_grid_gives_no_hint(grids):
    assert all(hint == [] for _, hint in hints(grids))


def test_published_puzzles():
    row = Row("f:1", 0, {"Puzzle": "3102200002100320", "Solution": "3142243142131324"})
    assert sudoku.read(row, "sudoku").prompt == "Solve the following Sudoku puzzle: 3102200002100320\n"
    with pytest.raises(BadRow, match="no 4x4 puzzle"):
        sudoku.read(Row("f:1", 0, {"Puzzle": "3102", "Solution": "3142243142131324"}), "sudoku")
    with pytest.raises(BadRow, match="no 4x4 puzzle"):
        sudoku.read(Row("f:1", 0, {"Puzzle": "1102200002100320", "Solution": "3142243142131324"}), "sudoku")

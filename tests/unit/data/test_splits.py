"""What is held out: by the split's seed and the problems' texts alone, in proportion, exactly so many."""

import json
from collections import Counter

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources import Gsm8k, Math, Table
from igpo_lightning.data.splits import digest, hold_out, sample, stratum
from igpo_lightning.types import Problem


def problem(i, **meta):
    return Problem(f"p/{i}", f"question {i}", f"#### {i}", f"{i}", meta)


def levels(sizes):
    """``{"1": 70}``: seventy problems of level 1, and so on, one level after the other."""
    rows = [level for level, size in sizes.items() for _ in range(size)]
    return [problem(i, level=level) for i, level in enumerate(rows)]


@pytest.mark.parametrize(
    "sizes, size, wanted",
    [
        ({"1": 70, "2": 20, "3": 10}, 10, {"1": 7, "2": 2, "3": 1}),
        ({"1": 50, "2": 50}, 7, None),  # 3.5 each: one of them gets the odd one
        ({"1": 66, "2": 33, "3": 1}, 10, {"1": 7, "2": 3}),  # 6.6, 3.3, 0.1
        ({"1": 9, "2": 2}, 10, {"1": 8, "2": 2}),  # 8.18, 1.82
    ],
)
def test_levels_are_held_out_in_proportion_and_sizes_are_exact(sizes, size, wanted):
    held, rest, left = hold_out(levels(sizes), size, 0, "val")
    counts = Counter(p.meta["level"] for p in held)
    assert sum(counts.values()) == size and left == 0 and len(rest) == sum(sizes.values()) - size
    assert counts == wanted if wanted else sorted(counts.values()) == [3, 4]


def test_the_draw_depends_on_seed_and_purpose_and_on_nothing_else():
    rows = levels({"1": 40, "2": 40})
    held = hold_out(rows, 12, 0, "val")[0]
    assert hold_out(rows[::-1], 12, 0, "val")[0] == held
    assert hold_out(rows, 12, 1, "val")[0] != held != hold_out(rows, 12, 0, "test")[0]
    assert [p.meta["level"] for p in held] != sorted(p.meta["level"] for p in held), "levels are mixed"


def test_problems_that_are_one_are_on_one_side():
    twins = [
        Problem("a", "Add  1 and 2.", "x", "3"),
        Problem("b", "add 1 and 2.", "y", "3"),
        Problem("c", "ADD 1\nand 2.", "z", "3"),
    ]
    for seed in range(30):
        held, rest, left = hold_out([*twins, problem(0)], 1, seed, "test")
        assert (len(held), len(rest), left) in [(1, 1, 2), (1, 3, 0)]
        assert digest(held[0]) not in map(digest, rest)


def test_a_set_of_its_own_is_sampled_at_most():
    rows = levels({"1": 30, "2": 10})
    assert sample(rows, None, 0, "test") == sample(rows, 100, 0, "test") == rows
    few = sample(rows, 8, 0, "test")
    assert Counter(p.meta["level"] for p in few) == {"1": 6, "2": 2} and few != rows[:8]


def test_too_few_problems():
    with pytest.raises(ConfigError, match=r"data.val_size=5: the data has only 5 different problems"):
        hold_out([problem(i) for i in range(5)], 5, 0, "val")
    assert hold_out([], 0, 0, "val") == ([], [], 0)


def test_validation_never_comes_from_a_test_file(tmp_path):
    def row(i):
        return {"question": f"question {i}", "answer": f"#### {i}"}

    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(row(i)) for i in range(60)))
    (tmp_path / "test.jsonl").write_text("\n".join(json.dumps(row(i)) for i in range(50, 80)))
    source = Gsm8k(str(tmp_path), val_size=10, test_size=5)
    assert {p.id.split("/")[1] for p in source.test} == {"test"} and len(source.test) == 5
    assert {p.id.split("/")[1] for p in source.val} == {"train"} and len(source.val) == 10
    assert len(source.train) == 40, "the ten that stand in the test file are gone, the five and the others"


def test_a_smaller_test_set_leaves_the_larger_ones_problems_alone(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "\n".join(json.dumps({"prompt": f"q {i}", "trace": f"#### {i}", "answer": i}) for i in range(90))
    )
    small, large = (Table(str(tmp_path / "a.jsonl"), val_size=9, test_size=n) for n in (10, 20))
    assert set(map(digest, small.test)) <= set(map(digest, large.test))


def test_real_math_is_held_out_by_subject(real_data):
    first, second = (Math(str(real_data("math_train")), split_seed=0) for _ in range(2))
    assert first.val == second.val and first.test == second.test
    everything = [*first.train, *first.val, *first.test]
    whole = Counter(map(stratum, everything))
    for part in (first.val, first.test):
        for name, count in Counter(map(stratum, part)).items():
            assert abs(count - len(part) * whole[name] / len(everything)) < 1
    assert len(set(map(stratum, first.val))) == 7

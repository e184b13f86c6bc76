"""Figures against numbers worked out by hand."""

from dataclasses import replace

import pytest

from igpo_lightning.evaluation.results import pass_at_k, score, summarise, table_of
from igpo_lightning.evaluation.store import Generation
from igpo_lightning.evaluation.tables import overview, page, remarks


def rows(*verdicts, **changes):
    """One problem for each list of verdicts."""
    return [
        Generation(
            f"t/{p}", g, 0, "", "", "1", tokens=10, ended=True, **{"answer": "1", "correct": ok, **changes}
        )
        for p, problem in enumerate(verdicts)
        for g, ok in enumerate(problem)
    ]


def interval(*verdicts):
    found = score(table_of(rows(*verdicts)))
    return found.low, found.high


def test_one_completion_per_problem_gives_wilsons_interval():
    found = score(table_of(rows(*[[1]] * 8, *[[0]] * 2)))
    assert (found.problems, found.completions, found.accuracy) == (10, 10, 0.8)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # the textbook's 8 of 10


def test_completions_that_always_agree_are_worth_one():
    assert interval([1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]) == pytest.approx(interval([1], [1], [0], [1]))


def test_the_variance_between_problems_decides():
    # p = 1/2; means 1, 1/2, 1/2, 0 have variance 1/8; n_eff = 4 · (1/4) / (1/8) = 8: Wilson for 4 of 8.
    assert interval([1, 1], [1, 0], [0, 1], [0, 0]) == pytest.approx((0.2152, 0.7848), abs=1e-4)


def test_no_more_than_all_completions_and_no_less_than_the_problems():
    assert interval([1, 0], [0, 1], [1, 0], [1, 0]) == pytest.approx((0.2152, 0.7848), abs=1e-4)  # 8 of 8
    assert interval([0] * 16, [0] * 16) == pytest.approx((0, 0.6576), abs=1e-4)  # as 0 of 2


@pytest.mark.parametrize("n, correct, k, chance", [
    (5, 2, 1, 0.4), (5, 2, 2, 0.7), (5, 2, 4, 1.0), (5, 0, 5, 0.0), (4, 4, 1, 1.0), (16, 1, 8, 0.5),
])  # fmt: skip
def test_pass_at_k(n, correct, k, chance):
    assert pass_at_k(n, correct, k) == pytest.approx(chance)


def test_summary():
    easy = rows([1, 0, 0, 0], [0, 0, 0, 0], groups={"level": "1"})
    hard = rows([1, 1, 1, 1], groups={"level": "2"}, answer=None)
    made = easy + [replace(row, id="t/9", ended=False, tokens=40) for row in hard]
    result = summarise("t", made, expected=16)
    assert result.metric == "avg@4" and result.score.accuracy == pytest.approx(5 / 12)
    assert result.pass_at == pytest.approx({1: 5 / 12, 2: (0.5 + 0 + 1) / 3, 4: 2 / 3})
    assert (result.tokens, result.filled, result.unanswered) == pytest.approx((20, 1 / 3, 1 / 3))
    assert {k: (s.problems, s.accuracy) for k, s in result.groups["level"].items()} == {
        "1": (2, 0.125),
        "2": (1, 1.0),
    }
    said = remarks([result], {"t": 16, "u": 3})
    assert said == ["t is incomplete: 12 of 16 completions.", "u is incomplete: 0 of 3 completions."]
    text = page([result], {"model": {"sha256": "ab"}}, said)
    assert "t is incomplete: 12 of 16" in text and "| pass@4 | 66.7%" in text and "model.sha256" in text
    assert "avg@4" in overview([result]) and "41.7%" in overview([result])


def test_completions_of_different_numbers_count_by_problem():
    result = summarise("t", rows([1, 1, 1], [0]))
    assert result.score.accuracy == 0.5 and list(result.pass_at) == [1] and result.metric == "avg@3"

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.summary import Accuracy, Stage, Summary


def test_wilson_interval_by_hand():
    # p = 1/2, n = 100, z = 1.96: 1/2 ± 1.96 * sqrt(1/400 + 3.8416/40000) / 1.038416
    low, high = Accuracy(0.5, 100).interval()
    assert (low, high) == (pytest.approx(0.40383, abs=1e-5), pytest.approx(0.59617, abs=1e-5))


def test_the_interval_stays_in_bounds_and_needs_n():
    assert Accuracy(0.0, 100).interval() == (0.0, pytest.approx(0.03699, abs=1e-5))
    assert Accuracy(1.0, 100).interval() == pytest.approx((0.96301, 1.0), abs=1e-5)
    assert Accuracy(0.5).interval() is None


def test_save_and_load_are_inverse(tmp_path):
    stages = (
        Stage("sft", "sft", 1.5, Accuracy(0.1, 10), Accuracy(0.2, 10), updates=3),
        Stage("igpo", completions=64),
    )
    summary = Summary(stages, seconds=2.5, title="a run")
    assert summary.save(tmp_path) == tmp_path / "summary.json"
    assert Summary.load(tmp_path) == summary


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a run summary"),
        ("[]", "not a run summary"),
        ("{}", "'stages' is missing"),
        ('{"stages": [{"folder": "."}]}', "name"),
        ('{"stages": [{"name": "a", "colour": 1}]}', "colour"),
        ('{"stages": [{"name": "a", "accuracy_after": {"n": 5}}]}', "'value' is missing"),
    ],
)
def test_a_broken_summary_is_one_clear_error(tmp_path, text, reason):
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        Summary.load(tmp_path)
    assert "summary.json" in str(caught.value)

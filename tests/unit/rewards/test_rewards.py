import math
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import AnswerFormat, Correctness, RewardSum, TagFormat, Verifier
from igpo_lightning.types import Problem

CONF = Path(__file__).parents[3] / "conf"


class Constant:
    def __init__(self, values, weight):
        self.values, self.weight = values, weight

    def __call__(self, problems, completions):
        return self.values


def problems(answers):
    return [Problem(f"t/{i}", "", "", answer) for i, answer in enumerate(answers)]


def reward(name, *overrides):
    with initialize_config_dir(str(CONF / "reward"), version_base=None):
        return instantiate(compose(name, overrides=list(overrides)))


def test_the_math_reward_by_hand():
    completions = [r"so \boxed{72}", "#### 72\nand so on", r"\boxed{7}", "72"]
    scores = reward("math")(problems(["72"] * 4), completions)
    torch.testing.assert_close(scores.total, torch.tensor([1.1, 1.0, 0.1, 0.0]))
    assert scores.correct.tolist() == [True, True, False, False]
    assert scores.parts["accuracy"].tolist() == [1, 1, 0, 0]
    assert scores.parts["format"].tolist() == [1, 0, 1, 0]  # unweighted
    assert scores.total.dtype == torch.float32 and scores.correct.dtype == torch.bool


REASONED = "<reasoning>\nhalf of 12\n</reasoning>\n<answer>\n"


@pytest.mark.parametrize(("completion", "total", "correct"), [
    (REASONED + "\\boxed{6}\n</answer>", 3.75, True),
    (REASONED + "\\boxed{7}\n</answer>", 0.75, False),
    (REASONED + "6\n</answer>", 3.5, True),                          # four tags, no box
    (REASONED + "\\boxed{6}\n</answer>\n</answer>", 3.625, True),    # one tag stands twice
    ("<reasoning>half</reasoning><answer>\\boxed{6}</answer>", 3.5, True),  # no line breaks: two tags count
    ("so \\boxed{6}", 3.25, True),
    ("so it is half", 0.0, False),
    ("", 0.0, False),
])  # fmt: skip
def test_the_published_reward_by_hand(completion, total, correct):
    scores = reward("paper")(problems(["6"]), [completion])
    assert (scores.total.item(), scores.correct.item()) == (total, correct)
    assert sorted(scores.parts) == ["accuracy", "format"]


def test_reading_the_first_box_is_another_verdict_on_the_same_text():
    texts = ["\\boxed{6} no, \\boxed{7}", "\\boxed{7} no, \\boxed{6}", "the answer is 6"]
    plain = reward("paper")
    first = plain.first_box()
    assert plain(problems(["6"] * 3), texts).correct.tolist() == [False, True, True]
    assert first(problems(["6"] * 3), texts).correct.tolist() == [True, False, False]
    assert first(problems(["6"] * 3), texts).total.tolist() == [3.25, 0.25, 0.0]
    braces = [
        "\\boxed{\\frac{1}{2}} \\boxed{3}",
        "\\boxed{3",
        "\\boxed{} \\boxed{3}",
        "\\boxed{3} and \\boxed{4}",
    ]
    assert first(problems(["\\frac{1}{2}"]), braces[:1]).correct.tolist() == [True]
    assert first(problems(["3"] * 3), braces[1:]).correct.tolist() == [False, False, True]


def test_a_format_reward_never_makes_a_completion_correct():
    scores = reward("math", "terms.format.weight=5")(problems(["72"]), [r"\boxed{7}"])
    assert scores.total.tolist() == [5.0] and scores.correct.tolist() == [False]


def test_accuracy_alone():
    scores = reward("accuracy")(problems(["1000", "1000"]), ["#### 1,000", "#### 999"])
    assert scores.total.tolist() == [1.0, 0.0] and list(scores.parts) == ["accuracy"]


def test_a_term_of_ones_own_is_one_config_line():
    cfg = "+terms.brief={_target_: igpo_lightning.rewards.AnswerFormat, weight: 0.5}"
    assert reward("accuracy", cfg)(problems(["4"]), ["#### 3"]).total.tolist() == [0.5]
    assert list(reward("math", "terms.format=null").terms) == ["accuracy"]


def test_bad_rewards_are_refused():
    with pytest.raises(ConfigError, match=r"reward\.correctness: 'acc' .*accuracy"):
        RewardSum({"accuracy": Correctness(Verifier())}, correctness="acc")
    with pytest.raises(ConfigError, match=r"reward\.terms\.odd"):
        RewardSum({"odd": len}, correctness="odd")
    with pytest.raises(ConfigError, match="are not a list of texts"):
        TagFormat(tags="<answer>")
    with pytest.raises(ConfigError, match=r"compat.first_box: reward.terms.own \(Constant\)"):
        RewardSum({"own": Constant([], 1.0)}, correctness="own").first_box()
    with pytest.raises(ConfigError, match=r"reward\.terms\.odd"):
        RewardSum({"odd": Constant([], math.nan)}, correctness="odd")
    with pytest.raises(ValueError, match="1 completions but 2 problems"):
        RewardSum({"format": AnswerFormat()}, correctness="format")(problems(["b", "c"]), ["a"])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([1.0, 2.0], "a list"),
        (torch.ones(2), r"a tensor \[2\] of float32"),
        (None, "None"),
        (["a"], "a list"),
        (torch.ones(1, 1), r"a tensor \[1, 1\] of float32"),
        (torch.ones(1, dtype=torch.complex64), r"a tensor \[1\] of complex64"),
    ],
)
def test_a_term_that_finds_no_number_for_each_completion_is_named(found, said):
    reward = RewardSum({"mine": Constant(found, 1.0)}, correctness="mine")
    with pytest.raises(
        ConfigError, match=rf"^reward\.terms\.mine: Constant returned {said}; expected a number"
    ):
        reward(problems(["b"]), ["a"])


def test_no_completions():
    assert reward("math")(problems([]), []).total.shape == (0,)

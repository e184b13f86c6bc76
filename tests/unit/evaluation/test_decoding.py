import pytest
import torch
from fakes import FixedPolicy, HashReward, encoded, tiny_policy

from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.evaluation import decode
from igpo_lightning.rewards import Correctness, RewardSum, Verifier
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.types import Problem, Prompt

WORDS = ["####", "7", "8"]  # ids 4, 5, 6
PROMPTS = [
    Prompt(Problem("t/0", "", "", "7"), (5,)),
    Prompt(Problem("t/1", "", "", "8"), (6, 6)),
]


def says_seven(tokens):
    """'#### 7' and its end, whatever the prompt."""
    logits = torch.zeros(*tokens.shape, 7)
    for column, token in zip(range(-4, 0), (4, 5, 0, 6), strict=True):
        logits[:, column, token] = 9.0
    return logits


def test_accuracy_reward_and_length_by_hand():
    policy = FixedPolicy(says_seven, tokenizer=word_level(WORDS))
    with_verifier = RewardSum({"accuracy": Correctness(Verifier(timeout=2.0), weight=2.0)}, "accuracy")
    result = decode(policy, BlockwiseSampler(4, 4, 2), with_verifier, PROMPTS)
    assert result.texts == ["#### 7", "#### 7"]
    assert result.lengths.tolist() == [3, 3]
    assert result.means() == {"accuracy": 0.5, "reward": 1.0, "length": 3.0}


def test_the_batch_does_not_matter():
    policy = tiny_policy()
    prompts = encoded(policy, 6)
    for temperature in (0.0, 1.0):
        sampler = BlockwiseSampler(16, 8, 4, temperature)
        together = decode(policy, sampler, HashReward(), prompts, seed=3).texts
        alone = [decode(policy, sampler, HashReward(), [p], seed=3).texts[0] for p in prompts]
        assert together == alone
        assert (decode(policy, sampler, HashReward(), prompts, seed=4).texts == together) == (
            temperature == 0
        )


@pytest.mark.parametrize("count", [1, 2])
def test_means_are_over_problems(count):
    policy = FixedPolicy(says_seven, tokenizer=word_level(WORDS))
    result = decode(policy, BlockwiseSampler(4, 4, 2), HashReward(1.0), PROMPTS[:count])
    assert result.means()["accuracy"] == 1.0 and len(result.texts) == count

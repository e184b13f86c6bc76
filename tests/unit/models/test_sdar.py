"""Small checkpoints in SDAR's published layout: Qwen3, its attention block-causal."""

import pytest
import torch
from checkpoints import write_sdar
from fakes import LORA

from igpo_lightning.algos.logprobs import (
    BlockMasking,
    LeftToRight,
    LevelMasking,
    MeanField,
    RandomBlock,
    RandomMasking,
    Replay,
    check_blocks,
)
from igpo_lightning.checks import ConfigError
from igpo_lightning.evaluation.likelihood import log_likelihood
from igpo_lightning.models import load_policy

TOKENS = torch.randint(0, 250, (2, 16), generator=torch.Generator().manual_seed(3))
# By the authors' modeling_sdar.py (JetAstra/SDAR at c2041a8, in float32) on these weights and tokens, with
# their block-causal mask: the first four logits of two positions. There all were equal to the last bit.
PUBLISHED = {(0, 5): [1.285, -0.83614, -0.69509, 0.39833], (1, 15): [0.65363, -0.82816, -0.15262, 0.25926]}


@pytest.fixture
def policy(tmp_path):
    write_sdar(tmp_path / "published")
    return load_policy(str(tmp_path / "published"))


@torch.no_grad()
def test_logits_are_those_of_the_published_code(policy):
    logits = policy(TOKENS)
    for at, expected in PUBLISHED.items():
        assert logits[at][:4].tolist() == pytest.approx(expected, abs=2e-5)


@torch.no_grad()
def test_a_block_sees_itself_and_what_is_before_it(policy):
    assert policy.attention.block == 4 and not policy.shifted
    logits = policy(TOKENS)
    later, within = TOKENS.clone(), TOKENS.clone()
    later[:, 12] += 1
    within[:, 11] += 1
    assert torch.equal(policy(later)[:, :12], logits[:, :12])
    assert torch.equal(policy(within)[:, :8], logits[:, :8])
    assert (policy(within) - logits)[:, 8:].abs().amax(-1).min() > 1e-4  # from the block's first column on


@torch.no_grad()
def test_it_is_saved_as_it_came(policy, tmp_path):
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"))
    assert torch.equal(again(TOKENS), policy(TOKENS)) and again.published.config == policy.published.config
    adapted = load_policy(str(tmp_path / "published"), lora={**LORA, "targets": ["q_proj", "down_proj"]})
    assert torch.equal(adapted(TOKENS), policy(TOKENS)) and adapted.attention.block == 4


def test_variants_are_refused(tmp_path):
    write_sdar(tmp_path / "windows", use_sliding_window=True)
    with pytest.raises(ConfigError, match=r"use_sliding_window=True, but only models with .* a plain Qwen3"):
        load_policy(str(tmp_path / "windows"))


@pytest.mark.parametrize(
    "estimator", [Replay(4), LeftToRight(), BlockMasking(4), BlockMasking(2), RandomBlock(4, mask_prompt=0)]
)
def test_estimators_of_whole_blocks_apply(policy, estimator):
    check_blocks(policy, estimator)


@pytest.mark.parametrize("estimator", [
    MeanField(), RandomMasking(), LevelMasking(2), BlockMasking(8), BlockMasking(3), RandomBlock(4),
])  # fmt: skip
def test_estimators_that_hide_earlier_blocks_are_refused(policy, estimator):
    with pytest.raises(ConfigError, match=r"algo\.logprobs: \w+ hides tokens before the present") as caught:
        check_blocks(policy, estimator)
    assert "\n" not in str(caught.value)


def test_a_likelihood_of_random_masks_is_refused(policy):
    with pytest.raises(ConfigError, match="a block-causal model gives no such bound"):
        log_likelihood(policy, [1, 2], [3, 4, 5])

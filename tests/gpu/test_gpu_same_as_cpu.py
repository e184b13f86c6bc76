"""The GPU computes what the CPU computes."""

import copy
from itertools import zip_longest

import pytest
import torch
from fakes import encoded, tiny_policy

from igpo_lightning.evaluation.decoding import complete
from igpo_lightning.sampling import BlockwiseSampler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]
HEAD = {"hidden_size": 256, "heads": 2, "layers": 4, "mlp_size": 512, "rope_theta": 500_000.0}


@pytest.fixture(autouse=True)
def no_tf32():
    """Its products keep 10 bits of the mantissa, as float16 does."""
    former = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = former


@torch.no_grad()
def compare_logits(device, dtype):
    """Largest difference, relative to the largest logit; with padding and without."""
    policy = tiny_policy(**HEAD).to(dtype)
    tokens = torch.arange(3 * 600).view(3, 600) % 60 + 3
    attention = torch.ones_like(tokens, dtype=torch.bool)
    attention[1, :70] = False
    worst = 0.0
    for mask in (None, attention):
        expected = policy(tokens, mask)
        other = copy.deepcopy(policy).to(device)
        found = other(tokens.to(device), None if mask is None else mask.to(device)).cpu()
        real = slice(None) if mask is None else mask
        worst = max(worst, ((found - expected)[real].abs().max() / expected.abs().max()).item())
    return worst


def compare_completions(device, dtype):
    """Share of greedily decoded tokens that are the same."""
    policy, sampler = tiny_policy(**HEAD).to(dtype), BlockwiseSampler(16, 8, 16).greedy()
    prompts = encoded(policy, 16)
    texts = complete(policy, sampler, prompts, [0] * 16).texts
    found = complete(copy.deepcopy(policy).to(device), sampler, prompts, [0] * 16).texts
    same = [
        word == other
        for text, again in zip(texts, found, strict=True)
        for word, other in zip_longest(text.split(), again.split())
    ]
    assert len(same) > 100
    return sum(same) / len(same)


# A norm and the rotary angles are computed in float32 at any dtype, as the published models do. Sums of
# 256 to 512 terms in another order, through 4 layers: some tens of its rounding steps of 6e-8, of logits
# whose largest is a sum of such terms. (H200: 2.8e-5 and 7.5e-6. With TF32, or in bfloat16, 1e-3 and more.)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.float64, 5e-5)])
def test_logits(dtype, tolerance):
    assert compare_logits(torch.device("cuda"), dtype) < tolerance


def test_greedy_tokens():
    assert compare_completions(torch.device("cuda"), torch.float64) == 1
    # In float32 a choice between tokens that are equally likely to seven digits may fall otherwise, and
    # what is decoded after it with it.
    assert compare_completions(torch.device("cuda"), torch.float32) >= 0.95

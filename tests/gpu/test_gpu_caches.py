"""Caches, CUDA graphs and compiled layers compute on a GPU as the plain code does."""

from __future__ import annotations

import pytest
import torch
from fakes import encoded, tiny_policy

from igpo_lightning.models.compiling import Compiling
from igpo_lightning.sampling import BlockwiseSampler, EntropyBound, LeastEntropy
from igpo_lightning.sampling.canvas import attention_of, collate

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]
WIDTH = 12


def sample(rows: int, ragged: bool, compiled: bool = False, **options):
    policy = tiny_policy(seed=3).to("cuda")
    with torch.no_grad():
        policy.model.lm_head.weight *= 8
    policy.compiling = Compiling(compiled)
    tensors = collate(encoded(policy, 8), policy.pad_id, "cuda")
    ids, mask = tensors.ids[:rows], tensors.mask[:rows]
    if not ragged:
        ids, mask = ids[:, -4:].contiguous(), mask.new_ones(rows, 4)
    empty = torch.full((rows, WIDTH), policy.mask_id, dtype=torch.long, device="cuda")
    canvas = torch.cat([ids, empty], dim=1)
    sampler = BlockwiseSampler(WIDTH, 4, WIDTH, **{"temperature": 1.0, **options})
    return sampler(policy, canvas, attention_of(mask, WIDTH), range(rows))


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_cache_refreshed_at_every_step_is_exact(cache, ragged):
    exact, cached = sample(8, ragged), sample(8, ragged, cache=cache, refresh_every=1, graphs=False)
    assert torch.equal(exact.tokens, cached.tokens) and torch.equal(exact.step_map, cached.step_map)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_graphs_replay_what_is_computed_without_them(cache, ragged):
    options = {"cache": cache, "order": LeastEntropy(), "acceptance": EntropyBound(0.5)}
    plain, replayed = (sample(8, ragged, graphs=graphs, **options) for graphs in (False, True))
    assert torch.equal(plain.tokens, replayed.tokens) and torch.equal(plain.step_map, replayed.step_map)


def test_compiled_layers_compute_the_same():
    plain, compiled = sample(8, True), sample(8, True, compiled=True)
    assert (plain.tokens == compiled.tokens).float().mean() > 0.99  # fused sums round otherwise

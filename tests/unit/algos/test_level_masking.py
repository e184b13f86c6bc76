"""Levels, counts and weights of Monte Carlo ELBOs, by hand."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest
import torch
from fakes import WIDTH, FixedPolicy, rollout_batch, tiny_policy

from igpo_lightning.algos.logprobs import LevelMasking, score, weights
from igpo_lightning.algos.logprobs.levels import quadrature, stratified, uniform
from igpo_lightning.algos.logprobs.planned import Completion
from igpo_lightning.checks import ConfigError

WHOLE = Completion(length=8, width=8, seed=3, iteration=0, g=0, group=4)


class Canvas(NamedTuple):
    masked: torch.Tensor
    scored: torch.Tensor
    weight: float | None


def canvases(estimator, completion=WHOLE):
    """The draws of a plan, one by one."""
    masked, scored, weight = estimator.plan(completion)
    return [Canvas(*row) for row in zip(masked, scored, weight or [None] * len(masked), strict=True)]


def at(t, **options):
    """An estimator whose only level is t."""
    estimator = LevelMasking(**{"levels": 1, **options})
    estimator.law = lambda count, completion: [(t, 1.0)]
    return estimator


@pytest.mark.parametrize("count, nodes, shares", [
    (1, [0.5], [1.0]),
    (2, [(1 - 1 / math.sqrt(3)) / 2, (1 + 1 / math.sqrt(3)) / 2], [0.5, 0.5]),
    (3, [(1 - math.sqrt(0.6)) / 2, 0.5, (1 + math.sqrt(0.6)) / 2], [5 / 18, 8 / 18, 5 / 18]),
])  # fmt: skip
def test_nodes_of_gauss_and_legendre(count, nodes, shares):
    found = quadrature(count, WHOLE)
    assert [t for t, _ in found] == pytest.approx(nodes)
    assert [share for _, share in found] == pytest.approx(shares)


def test_strata_of_draws_and_of_the_group():
    """2 draws of 4 completions: one's own are 1/2 apart, all eight 1/8, and the shares are 1/2."""
    each = [stratified(2, WHOLE._replace(g=g)) for g in range(4)]
    for own in each:
        assert (own[1][0] - own[0][0]) % 1 == pytest.approx(0.5) and [share for _, share in own] == [0.5, 0.5]
    levels = sorted(t for own in each for t, _ in own)
    assert [b - a for a, b in pairwise(levels)] == pytest.approx([1 / 8] * 7)
    assert all(0 <= t < 1 for t in levels)


@pytest.mark.parametrize("law", [uniform, stratified])
def test_levels_are_uniform(law):
    drawn = torch.tensor(
        [law(2, WHOLE._replace(seed=seed, g=1))[d][0] for seed in range(400) for d in (0, 1)]
    )
    quarters = torch.histc(drawn.float(), 4, 0, 1)
    assert quarters.sum() == 800 and quarters.min() > 150 and quarters.max() < 250


@pytest.mark.parametrize(
    "t, number, weight", [(0.5, 4, 2.0), (0.51, 5, 8 / 5), (1e-9, 1, 8.0), (1.0, 8, 1.0)]
)
def test_an_exact_count_weighs_n_over_k(t, number, weight):
    """⌈8t⌉ of 8 tokens: 1 … 8 of them, equally often if t is uniform."""
    (canvas,) = canvases(at(t))
    assert canvas.masked.sum() == number and torch.equal(canvas.masked, canvas.scored)
    assert canvas.weight == pytest.approx(weight)


@pytest.mark.parametrize("t, number, weight, others", [
    (0.3, 2, 9 / 2 / 2, 9 / 6 / 2),  # ⌊0.3 · 9⌋ = 2 of 8: half of 9/2 and of 9/6
    (0.5, 4, 9 / 4 / 2, 9 / 4 / 2),
    (0.05, 0, 0.0, 9 / 8 / 2),
    (0.95, 8, 9 / 8 / 2, 0.0),
])  # fmt: skip
def test_a_mask_and_its_complement(t, number, weight, others):
    first, second = canvases(at(t, complement=True))
    assert first.masked.sum() == number and torch.equal(second.masked, ~first.masked)
    assert (first.weight, second.weight) == pytest.approx((weight, others))


@pytest.mark.parametrize("complement, strata", [(False, 8), (True, 9)])
def test_the_weights_of_all_counts_average_to_the_number_of_tokens(complement, strata):
    """Σ over tokens of the weights: of one token on average 1, so the estimate has no bias."""
    total = 0.0
    for k in range(strata):
        for canvas in canvases(at((k + 0.5) / strata, complement=complement)):
            total += canvas.weight * int(canvas.scored.sum()) / strata
    assert total == pytest.approx(8)


def test_each_token_with_probability_t():
    first, second = canvases(at(0.25, exact=False, complement=True))
    assert (first.weight, second.weight) == pytest.approx((1 / 0.25 / 2, 1 / 0.75 / 2))
    count = int(first.masked.sum())
    a, b = canvases(at(0.25, exact=False, complement=True, weight="count"))
    assert 0 < count < 8 and (a.weight, b.weight) == pytest.approx((8 / count / 2, 8 / (8 - count) / 2))
    assert all(canvas.weight is None for canvas in canvases(at(0.25, weight="one", full=0.5)))
    shares = [
        float(canvases(at(0.25, exact=False), WHOLE._replace(seed=s))[0].masked.float().mean())
        for s in range(500)
    ]
    assert sum(shares) / 500 == pytest.approx(0.25, abs=0.03)


def test_levels_lie_between():
    estimator = LevelMasking(levels=50, between=(0.2, 0.8), exact=False, weight="level")
    levels = [1 / (canvas.weight * 50) for canvas in canvases(estimator) if canvas.weight]
    assert min(levels) > 0.2 and max(levels) < 0.8 and max(levels) - min(levels) > 0.4


def test_the_full_mask_of_coupled_grpo():
    full, *pair = canvases(at(0.5, full=0.5, complement=True, exact=False))
    assert full.masked.all() and full.scored.all() and full.weight == 0.5 and len(pair) == 2
    assert LevelMasking(1, full=0.5, complement=True).count(8) == 3 and LevelMasking(4).count(8) == 4


@pytest.mark.parametrize("tail, masked", [("hidden", True), ("visible", False)])
def test_columns_after_the_end(tail, masked):
    for canvas in canvases(at(0.5, tail=tail, complement=True, full=1.0), WHOLE._replace(length=5)):
        assert canvas.masked[5:].all() == masked and canvas.masked[5:].any() == masked
        assert not canvas.scored[5:].any() and torch.equal(canvas.scored[:5], canvas.masked[:5])


@torch.no_grad()
def test_the_weighted_sum_estimates_the_elbo():
    """A policy that sees no context gives token v log p_v wherever it is read: the ELBO is their sum."""
    policy = tiny_policy()
    table = torch.randn(len(policy.tokenizer), generator=torch.Generator().manual_seed(0))
    fixed = FixedPolicy(lambda t: table.expand(*t.shape, -1), policy.mask_id, policy.eos_id)
    batch = rollout_batch(policy)
    exact = table.log_softmax(0)[batch.tokens].sum(-1)
    for estimator in (
        LevelMasking(60, "stratified", complement=True), LevelMasking(100, "stratified"),
        LevelMasking(100, "stratified", exact=False, between=(0.05, 1.0)),
        LevelMasking(60, exact=False, weight="count", complement=True),
    ):  # fmt: skip
        draws = estimator.draws(batch, 0)
        found = (score(fixed, batch, draws).logps * weights(batch, draws)).sum((2, 3))
        torch.testing.assert_close(found, exact, rtol=0.2, atol=0)


def test_masks_are_functions_of_identity_alone():
    batch, estimator = rollout_batch(tiny_policy()), LevelMasking(2, "stratified", complement=True)
    one, again, other = (estimator.draws(batch, i) for i in (0, 0, 1))
    alone = estimator.draws(batch.select(slice(1, 2)), 0)
    for a, b, c, d in zip(one, again, alone, other, strict=True):
        assert torch.equal(a.masked, b.masked) and torch.equal(a.masked[1:2], c.masked)
        assert torch.equal(a.weight[1:2], c.weight) and not torch.equal(a.masked, d.masked)
    shuffled = replace(batch, seeds=batch.seeds.flip(0))
    assert not torch.equal(estimator.draws(shuffled, 0)[0].masked, one[0].masked)
    assert estimator.draws(batch, 0)[0].masked.shape == (3, 3, WIDTH)


@pytest.mark.parametrize("bad, message", [
    ({"levels": 0}, "algo.logprobs.levels=0"),
    ({"law": "even"}, "algo.logprobs.law=even: expected one of"),
    ({"between": (0.8, 0.2)}, r"algo.logprobs.between=\[0.8,0.2\]"),
    ({"weight": "elbo"}, "algo.logprobs.weight=elbo"),
    ({"tail": "cut"}, "algo.logprobs.tail=cut"),
    ({"full": -1.0}, "algo.logprobs.full=-1.0"),
])  # fmt: skip
def test_bad_values_are_refused(bad, message):
    with pytest.raises(ConfigError, match=message):
        LevelMasking(**bad)

from functools import partial

import pytest
import torch
from fakes import WIDTH, FixedPolicy, gradient, rollout_batch, tiny_policy

from igpo_lightning.algos.logprobs import BlockMasking, Draw, MeanField, RandomMasking, score, weights
from igpo_lightning.models import head
from igpo_lightning.models import policy as policy_module

POLICY = tiny_policy()


def estimate_of(estimator, policy, batch, iteration=0, **options):
    return score(policy, batch, estimator.draws(batch, iteration), **options)


def read_where(policy, batch, p, g, masked):
    """[C] log-probs of one completion's tokens with ``masked`` of them hidden, in one unpadded forward."""
    ids = batch.prompt_ids[p][batch.prompt_mask[p]]
    tokens = batch.tokens[p, g]
    canvas = torch.cat([ids, tokens.masked_fill(masked, policy.mask_id)])[None]
    table = policy(canvas)[0, -WIDTH:].log_softmax(-1)
    return table[torch.arange(WIDTH), tokens], -(table.exp() * table).sum(-1)


def plans(estimator, batch, iteration=0):
    return {
        (p, g): estimator.canvases(WIDTH, int(batch.seeds[p]), iteration, g)
        for p in range(3)
        for g in range(3)
    }


@torch.no_grad()
def test_mean_field_reads_every_token_under_a_fully_masked_completion():
    batch = rollout_batch(POLICY)
    estimate = estimate_of(MeanField(), POLICY, batch, entropy=True)
    assert estimate.scored.all() and MeanField().count(WIDTH) == 1 and not MeanField().renewed
    assert estimate.logps.shape == (3, 3, 1, WIDTH)
    everything = torch.ones(WIDTH, dtype=torch.bool)
    for p in range(3):
        for g in range(3):
            logps, nats = read_where(POLICY, batch, p, g, everything)
            torch.testing.assert_close(estimate.logps[p, g, 0], logps, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(estimate.entropy[p, g, 0], nats, atol=1e-5, rtol=1e-5)


def test_mean_field_costs_one_row_a_prompt():
    policy = FixedPolicy(lambda t: torch.zeros(*t.shape, 200), mask_id=POLICY.mask_id)
    estimate_of(MeanField(), policy, rollout_batch(POLICY))
    assert [call.shape[0] for call in policy.calls] == [3]
    assert (policy.calls[0][:, -WIDTH:] == POLICY.mask_id).all()


@torch.no_grad()
@pytest.mark.parametrize(
    "estimator",
    [RandomMasking(True), RandomMasking(False), BlockMasking(8)],
    ids=["coupled", "random", "block"],
)
@pytest.mark.parametrize("iteration", [0, 1])
def test_masking_estimators_read_each_token_where_it_was_hidden(estimator, iteration):
    batch = rollout_batch(POLICY)
    estimate = estimate_of(estimator, POLICY, batch, iteration, entropy=True)
    assert estimator.renewed and estimate.logps.shape[2] == estimator.count(WIDTH)
    for (p, g), calls in plans(estimator, batch, iteration).items():
        scored = torch.zeros(WIDTH, dtype=torch.bool)
        for draw, (masked, here) in enumerate(calls):
            assert not (scored & here).any() and not (here & ~masked).any()
            logps, nats = read_where(POLICY, batch, p, g, masked)
            found, entropy = estimate.logps[p, g, draw], estimate.entropy[p, g, draw]
            torch.testing.assert_close(found[here], logps[here], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(entropy[here], nats[here], atol=1e-5, rtol=1e-5)
            assert torch.equal(estimate.scored[p, g, draw], here) and (found[~here] == 0).all()
            scored |= here


@pytest.mark.parametrize("estimator", [RandomMasking(True), BlockMasking(8), BlockMasking(16)])
def test_every_token_is_scored_once(estimator):
    for calls in plans(estimator, rollout_batch(POLICY)).values():
        assert torch.stack([scored for _, scored in calls]).sum(0).tolist() == [1] * WIDTH


def test_block_masking_shows_what_decoding_has_written():
    for calls in plans(BlockMasking(8), rollout_batch(POLICY)).values():
        (first, a), (second, b), (third, c), (fourth, d) = calls
        assert first.all() and second[8:].all() and torch.equal(second[:8], b[:8])
        assert torch.equal(a[:8], ~b[:8]) and not a[8:].any()
        assert not third[:8].any() and third[8:].all()
        assert not fourth[:8].any() and torch.equal(fourth, d) and torch.equal(c[8:], ~d[8:])


def test_masks_differ_by_update_completion_and_prompt_and_repeat_by_identity():
    batch, estimator = rollout_batch(POLICY), RandomMasking(coupled=False)
    masks = [plan[0][0] for i in (0, 1) for plan in plans(estimator, batch, i).values()]
    assert len({tuple(m.tolist()) for m in masks}) > 14  # of 18; some are nearly empty or full
    assert all(
        torch.equal(a[0][0], b[0][0])
        for a, b in zip(plans(estimator, batch).values(), plans(estimator, batch).values(), strict=True)
    )


def test_the_masked_share_is_uniform():
    estimator = RandomMasking(coupled=False)
    shares = torch.stack([estimator.canvases(200, seed, 0, 0)[0][0].float().mean() for seed in range(400)])
    quarters = torch.histc(shares, 4, 0, 1)
    assert quarters.sum() == 400 and quarters.min() > 70 and quarters.max() < 130


@pytest.mark.parametrize(
    "estimator", [MeanField(), RandomMasking(True), BlockMasking(8)], ids=["mean field", "coupled", "block"]
)
def test_chunks_of_the_output_head_change_nothing(estimator, monkeypatch):
    batch = rollout_batch(POLICY)
    results = []
    for positions in (None, 5):
        if positions:
            score = partial(head.chunked_scores, chunk_logits=positions * len(POLICY.tokenizer))
            monkeypatch.setattr(policy_module, "chunked_scores", score)
        POLICY.zero_grad()
        estimate = estimate_of(estimator, POLICY, batch, entropy=True)
        (estimate.logps**2).sum().backward()
        results.append((estimate.logps.detach(), estimate.entropy.detach(), gradient(POLICY)))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, atol=1e-4, rtol=1e-5)


def test_weights_of_draws_are_spread_over_the_groups():
    batch = rollout_batch(POLICY)
    plain = Draw(*[torch.ones(3, 1, WIDTH, dtype=torch.bool)] * 2)
    assert weights(batch, [plain]) is None
    half = Draw(plain.masked, plain.scored, torch.full((3, 3, WIDTH), 0.5))
    found = weights(batch, [plain, half])
    assert found.shape == (3, 3, 2, WIDTH) and (found[:, :, 0] == 1).all() and (found[:, :, 1] == 0.5).all()

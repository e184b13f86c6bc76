"""Hidden prompts, random blocks, replay and left-to-right scoring, by hand."""

from dataclasses import replace
from typing import NamedTuple

import borders
import pytest
import torch
from fakes import WIDTH, FixedPolicy, encoded, engine, rollout_batch, tiny_policy

from igpo_lightning.algos.logprobs import LeftToRight, MeanField, RandomBlock, Replay, score, weights
from igpo_lightning.algos.logprobs.planned import Completion
from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import BlockwiseSampler

POLICY = tiny_policy()


def prompts_shown(estimator, batch, iteration=0):
    """[rows, Q] canvases' prompts."""
    policy = FixedPolicy(lambda t: torch.zeros(*t.shape, 200), mask_id=POLICY.mask_id)
    score(policy, batch, estimator.draws(batch, iteration))
    assert all((call[:, -WIDTH:] == POLICY.mask_id).all() for call in policy.calls)
    return policy.calls[0][:, :-WIDTH]


@pytest.mark.parametrize("shared, rows", [(True, 3), (False, 9)])
def test_a_share_of_the_prompt_is_hidden(shared, rows):
    batch, estimator = rollout_batch(POLICY), MeanField(0.4, shared)
    assert estimator.renewed and not MeanField().renewed
    shown = prompts_shown(estimator, batch)
    ids, real = (part.repeat_interleave(rows // 3, 0) for part in (batch.prompt_ids, batch.prompt_mask))
    hidden = shown != ids
    assert len(shown) == rows and (shown[hidden] == POLICY.mask_id).all()
    assert not (hidden & ~real).any() and 0.2 < hidden.sum() / real.sum() < 0.6
    assert not torch.equal(shown, prompts_shown(estimator, batch, 1))
    assert torch.equal(shown, prompts_shown(estimator, batch))


def test_wider_padding_hides_the_same_prompt_tokens():
    batch, estimator = rollout_batch(POLICY), MeanField(0.4)
    pad = torch.full((3, 5), POLICY.pad_id)
    ids = torch.cat([pad, batch.prompt_ids], 1)
    wide = replace(batch, prompt_ids=ids, prompt_mask=torch.cat([pad != pad, batch.prompt_mask], 1))
    assert torch.equal(prompts_shown(estimator, wide)[:, 5:], prompts_shown(estimator, batch))


def test_the_whole_prompt_or_nothing_of_it():
    batch = rollout_batch(POLICY)
    assert torch.equal(prompts_shown(MeanField(0.0), batch), batch.prompt_ids)
    shown = prompts_shown(MeanField(1.0, shared=True), batch)
    assert ((shown == POLICY.mask_id) == batch.prompt_mask).all()
    with pytest.raises(ConfigError, match=r"algo.logprobs.mask_prompt=1.5"):
        MeanField(1.5)


class Canvas(NamedTuple):
    masked: torch.Tensor
    scored: torch.Tensor
    weight: float


def blocks(noise, seed):
    plan = RandomBlock(8, 2, noise).plan(Completion(11, 16, seed, 0, 0, 4))
    return [Canvas(*row) for row in zip(*plan, strict=True)]


def test_random_blocks_by_hand():
    """A completion of 11 of 16 columns in blocks of 8 has two: one draw each."""
    for seed in range(20):
        plan = blocks(0.0, seed)
        first, second = sorted(plan, key=lambda canvas: int(canvas.masked[:8].sum()), reverse=True)
        inside = int(first.masked[:8].sum())
        assert 1 <= inside <= 8 and first.masked[8:].all()
        assert torch.equal(first.scored, first.masked & (torch.arange(16) < 11))
        assert first.weight == pytest.approx(
            11 / (inside + 3) / 2
        )  # the second block's 3 tokens are scored, too
        after = int(second.masked[8:11].sum())
        assert not second.masked[:8].any() and 1 <= after <= 3 and second.masked[11:].all()
        assert second.weight == pytest.approx(11 / after / 2)
    noisy = blocks(1.0, 0)
    assert all(canvas.masked[:8].any() for canvas in noisy)  # with noise 1 all before the block is masked
    assert sum(int(canvas.masked[:8].all()) for canvas in noisy) >= 1


@pytest.mark.parametrize(("length", "own"), [(5, 1), (16, 2), (20, 3), (33, 5), (64, 8)])
def test_random_blocks_are_different_ones_and_all_as_likely(length, own):
    """In a canvas of 8 blocks, of which a completion fills some."""
    counts, seeds = torch.zeros(own), 400
    for seed in range(seeds):
        plan = RandomBlock(8, 3, 0.0).plan(Completion(length, 64, seed, 0, 0, 4))
        drawn = plan.masked.long().argmax(1) // 8
        assert len(set(drawn.tolist())) == min(3, own)
        counts += torch.bincount(drawn, minlength=own)
    share = counts / (3 * seeds)
    assert (share - 1 / own).abs().max() < 4 * (1 / own * (1 - 1 / own) / seeds) ** 0.5 + 1e-6


def test_random_blocks_hide_part_of_the_prompt_in_each_draw():
    batch = rollout_batch(POLICY)
    draws = RandomBlock(8, 2, 0.5).draws(batch, 0)
    assert [draw.prompt_masked.shape for draw in draws] == [(3, 3, batch.prompt_ids.shape[1])] * 2
    assert not torch.equal(draws[0].prompt_masked, draws[1].prompt_masked)
    assert RandomBlock(8, 2, 0.0).draws(batch, 0)[0].prompt_masked is None
    with pytest.raises(ConfigError, match=r"algo.logprobs.blocks=3: a completion has 2"):
        RandomBlock(8, 3).draws(batch, 0)


# Steps of one completion: 0 wrote two tokens, 2 and 5 one each; column 4 is a hint, column 5 was never drawn.
STEPS = torch.tensor([[[0, 2, 0, 5, -1, -1]]], dtype=torch.int32)


def replayed(**options):
    """(masked columns, scored columns, weight of the first of these or None) of each draw."""
    batch = rollout_batch(POLICY, prompts=1, group=2).select(slice(0, 1))
    batch.step_map, batch.hint_mask = STEPS, torch.arange(6).eq(4).view(1, 1, 6)
    return [
        (
            torch.nonzero(draw.masked[0, 0])[:, 0].tolist(),
            torch.nonzero(draw.scored[0, 0])[:, 0].tolist(),
            None if draw.weight is None else round(float(draw.weight[0, 0][draw.scored[0, 0]].sum()), 4),
        )
        for draw in Replay(**options).draws(batch, 0)
    ]


@pytest.mark.parametrize("options, expected", [
    (
        {"steps": 4},
        [([0, 1, 2, 3, 5], [0, 2], None), ([1, 3, 5], [1], None), ([3, 5], [3], None), ([5], [], None)],
    ),
    ({"steps": 4, "merge": 2}, [([0, 1, 2, 3, 5], [0, 1, 2], None), ([3, 5], [3], None)]),
    ({"steps": 4, "groups": 1}, [([0, 1, 2, 3, 5], [0, 1, 2, 3], None)]),
    ({"steps": 4, "groups": 2}, [([0, 1, 2, 3, 5], [0, 1, 2], None), ([3, 5], [3], None)]),  # ⌊2 · 0,1,2 / 3⌋
    # The weights of a draw add up to 1, however many tokens it scores.
    (
        {"steps": 3, "weight": "group"},
        [([0, 1, 2, 3, 5], [0, 2], 1.0), ([1, 3, 5], [1], 1.0), ([3, 5], [3], 1.0)],
    ),
    # Two of three groups, each of them for 1.5; the first has two tokens.
    ({"steps": 3, "keep": 2, "choose": "even"}, [([0, 1, 2, 3, 5], [0, 2], 3.0), ([1, 3, 5], [1], 1.5)]),
])  # fmt: skip
def test_replay_by_hand(options, expected):
    assert replayed(**options) == expected
    assert len(expected) == Replay(**options).count(6)


def test_too_few_steps_are_refused():
    with pytest.raises(ConfigError, match=r"algo.logprobs.steps=2: a completion took 3"):
        replayed(steps=2)
    for bad in (
        {"steps": 0},
        {"steps": 4, "choose": "first"},
        {"steps": 4, "weight": "step"},
        {"steps": 4, "merge": 0},
    ):
        with pytest.raises(ConfigError, match=r"algo\.logprobs\."):
            Replay(**bad)


def test_random_groups_are_other_ones_in_each_iteration():
    rollout = engine(sampler=BlockwiseSampler(16, 8, 16)).run(POLICY, encoded(POLICY, 3), 0)
    estimator = Replay(16, keep=4)
    assert estimator.renewed and not Replay(16).renewed and not Replay(16, keep=4, choose="even").renewed
    one, other = (torch.stack([draw.scored for draw in estimator.draws(rollout, i)], 2) for i in (0, 1))
    assert not torch.equal(one, other)
    steps = (rollout.step_map >= 0).sum(-1)
    assert torch.equal(one.sum((2, 3)), steps.clamp(max=4))  # one token a step, and different steps
    assert (one.sum(2) <= 1).all()
    found = weights(rollout, estimator.draws(rollout, 0))[:, :, 0, 0]
    torch.testing.assert_close(found, steps / steps.clamp(max=4))


@torch.no_grad()
@pytest.mark.parametrize("merge", [1, 3])
def test_all_steps_in_their_order_are_the_samplers_own(merge):
    rollout = engine(sampler=BlockwiseSampler(16, 8, 16, temperature=1.0)).run(POLICY, encoded(POLICY, 3), 0)
    mine, plain = (e(16, merge=merge).draws(rollout, 0) for e in (Replay, borders.Replay))
    assert len(mine) == len(plain) == -(-16 // merge)
    for a, b in zip(mine, plain, strict=True):
        assert torch.equal(a.masked, b.masked) and torch.equal(a.scored, b.scored)


@torch.no_grad()
def test_left_to_right_is_the_exact_likelihood():
    batch = rollout_batch(POLICY)
    found = score(POLICY, batch, LeftToRight().draws(batch, 0))
    assert torch.equal(found.scored.sum(2), torch.ones_like(found.scored[:, :, 0], dtype=torch.long))
    for p, g in ((0, 0), (1, 2), (2, 1)):
        ids, tokens, total = batch.prompt_ids[p][batch.prompt_mask[p]], batch.tokens[p, g], 0.0
        for c in range(WIDTH):
            rest = torch.full((WIDTH - c,), POLICY.mask_id)
            table = POLICY(torch.cat([ids, tokens[:c], rest])[None])[0, len(ids) + c].log_softmax(-1)
            total += float(table[tokens[c]])
        assert float(found.logps[p, g].sum()) == pytest.approx(total, rel=1e-4)


def test_left_to_right_shares_the_first_canvas_and_reads_columns_together():
    batch = rollout_batch(POLICY)
    draws = LeftToRight(columns=6).draws(batch, 0)
    assert [draw.masked.shape[1] for draw in draws] == [1, 3, 3] and LeftToRight(6).count(WIDTH) == 3
    assert [torch.nonzero(d.scored[0, 0])[:, 0].tolist() for d in draws] == [
        [*range(6)],
        [*range(6, 12)],
        [*range(12, 16)],
    ]
    assert [int(d.masked[0, 0].sum()) for d in draws] == [16, 10, 4]

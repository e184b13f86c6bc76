"""Where gradient goes, and that no batching changes it."""

from dataclasses import replace

import pytest
import torch
from fakes import LORA, WIDTH, encoded, engine, gradient, inpaint, loss_inputs, rollout_batch, tiny_policy

from igpo_lightning.algos import TopEntropyHints
from igpo_lightning.algos.logprobs import (
    BlockMasking,
    LeftToRight,
    LevelMasking,
    MeanField,
    RandomBlock,
    RandomMasking,
    Replay,
    score,
)
from igpo_lightning.algos.losses import ClippedSurrogate, LossInputs
from igpo_lightning.sampling.canvas import collate

LEVELS = ["token", "sequence"]
ESTIMATORS = {
    "mean field": MeanField(),
    "coupled": RandomMasking(coupled=True),
    "random": RandomMasking(coupled=False),
    "block": BlockMasking(8),
    "hidden prompt": MeanField(0.3),
    "levels": LevelMasking(2, "stratified", complement=True, tail="hidden"),
    "random block": RandomBlock(8),
    "replay": Replay(16, merge=4, weight="group"),
    "left to right": LeftToRight(4),
}


def inputs_of(batch, logps):
    mask = batch.of_iteration("loss_mask")
    return LossInputs(
        logps=logps, old=batch.of_iteration("old_logps"), ref=batch.of_iteration("ref_logps"),
        mask=mask, unfiltered=mask, weight=None, advantages=batch.advantages, rewards=batch.rewards,
        update_tokens=batch.update_tokens[0, 0], parts=1,
    )  # fmt: skip


def estimate_of(logprobs, policy, batch, iteration=0, **options):
    return score(policy, batch, logprobs.draws(batch, iteration), **options)


def loss_of(policy, batch, *, level="token", logprobs=None):
    estimate = estimate_of(logprobs or MeanField(), policy, batch, batch.iteration)
    return ClippedSurrogate(level, beta=0.1)(inputs_of(batch, estimate.logps))[0]


def gradient_of(policy, loss):
    policy.zero_grad()
    loss.backward()
    return gradient(policy)


def dropped_tokens(policy, batch, fraction=0.2):
    """Filter a rollout as IGPO does; the tokens that must not matter: after the end, and sure hints."""
    entropy = estimate_of(MeanField(), policy, batch, entropy=True).entropy.detach()[:, :, 0]
    keep = TopEntropyHints(fraction)(batch.completion_mask, batch.hint_mask, entropy)
    batch.loss_mask = batch.loss_mask & keep.unsqueeze(2)
    assert (~batch.completion_mask).any() and (batch.completion_mask & batch.hint_mask & ~keep).any()
    assert (batch.hint_mask & keep).any()
    return ~keep


@pytest.mark.parametrize("level", LEVELS)
def test_tokens_after_the_end_and_filtered_hints_have_no_gradient_and_no_say(level):
    policy = tiny_policy()
    batch = rollout_batch(policy)
    dropped = dropped_tokens(policy, batch)
    loss = ClippedSurrogate(level, beta=0.1)
    dropped = dropped.unsqueeze(2)
    logps = estimate_of(MeanField(), policy, batch).logps.detach().requires_grad_()
    value, metrics = loss(inputs_of(batch, logps))
    value.backward()
    assert (logps.grad[dropped] == 0).all()
    clipped = ClippedSurrogate(level, epsilon=10, beta=0.1)(inputs_of(batch, logps))[0]
    assert (torch.autograd.grad(clipped, logps)[0][~dropped] != 0).all()  # all others have some
    for junk in (float("nan"), float("inf"), -float("inf"), 3.0):
        for name in ("logps", "old", "ref"):
            clean = inputs_of(batch, logps.detach())
            dirty = replace(clean, **{name: getattr(clean, name).masked_fill(dropped, junk)})
            got, got_metrics = loss(replace(dirty, logps=dirty.logps.requires_grad_()))
            assert torch.equal(got, value), (junk, name)
            assert {k: float(v) for k, v in got_metrics.items()} == {k: float(v) for k, v in metrics.items()}
        dirty = replace(clean, logps=logps.detach().masked_fill(dropped, junk).requires_grad_())
        loss(dirty)[0].backward()
        assert torch.equal(dirty.logps.grad, logps.grad)


@pytest.mark.parametrize("level", LEVELS)
def test_dropped_tokens_do_not_move_the_weights(level):
    """With mean field no completion token is in the input: another token is another log-prob only."""
    policy = tiny_policy()
    batch = rollout_batch(policy)
    dropped = dropped_tokens(policy, batch)
    before = gradient_of(policy, loss_of(policy, batch, level=level))
    batch.tokens = torch.where(dropped, (batch.tokens + 7) % len(policy.tokenizer), batch.tokens)
    assert torch.equal(before, gradient_of(policy, loss_of(policy, batch, level=level)))
    assert before.abs().max() > 1e-3


@pytest.mark.parametrize("logprobs", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_a_batch_with_nothing_to_learn_gives_zeros_and_not_none(logprobs):
    policy = tiny_policy()
    batch = rollout_batch(policy, logprobs=logprobs)
    batch.loss_mask = torch.zeros_like(batch.loss_mask)
    loss = loss_of(policy, batch, logprobs=logprobs)
    assert loss == 0
    assert (gradient_of(policy, loss) == 0).all()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_shared_forward_is_one_forward_per_completion(level, lora):
    """The naive update: every completion alone, unpadded, in a forward of its own."""
    policy = tiny_policy(lora=lora)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    batch = rollout_batch(policy)
    dropped_tokens(policy, batch)
    shared = gradient_of(policy, loss_of(policy, batch, level=level))
    policy.zero_grad()
    prompts, group, _ = batch.tokens.shape
    for p in range(prompts):
        ids = batch.prompt_ids[p][batch.prompt_mask[p]]
        canvas = torch.cat([ids, torch.full((WIDTH,), policy.mask_id)])[None]
        for g in range(group):
            table = policy(canvas)[0, -WIDTH:].log_softmax(-1)
            logps = table[torch.arange(WIDTH), batch.tokens[p, g]]
            one = loss_inputs(
                logps[None, None],
                batch.old_logps[p, g, :1][None],
                batch.ref_logps[p, g, :1][None],
                batch.advantages[p, g][None, None],
                batch.loss_mask[p, g, :1][None],
            )
            (ClippedSurrogate(level, beta=0.1)(one)[0] / (prompts * group)).backward()
    torch.testing.assert_close(shared, gradient(policy), atol=1e-6, rtol=1e-5)
    assert shared.abs().max() > 1e-3


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("logprobs", ESTIMATORS.values(), ids=ESTIMATORS.keys())
@pytest.mark.parametrize("size", [1, 2])
def test_micro_batches_add_up_to_one_large_batch(level, logprobs, size):
    policy = tiny_policy()
    batch = rollout_batch(policy, prompts=4, logprobs=logprobs)
    dropped_tokens(policy, batch)
    whole = gradient_of(policy, loss_of(policy, batch, level=level, logprobs=logprobs))
    parts = [batch.select(slice(start, start + size)) for start in range(0, 4, size)]
    mean = sum(loss_of(policy, part, level=level, logprobs=logprobs) for part in parts) / len(parts)
    torch.testing.assert_close(gradient_of(policy, mean), whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("logprobs", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_left_padding_changes_no_log_prob_and_no_gradient(logprobs):
    policy = tiny_policy()
    batch = rollout_batch(policy, logprobs=logprobs)
    assert not batch.prompt_mask.all()
    pad = torch.full((len(batch.prompt_ids), 5), policy.pad_id)
    wide = replace(
        batch,
        prompt_ids=torch.cat([pad, batch.prompt_ids], 1),
        prompt_mask=torch.cat([pad != pad, batch.prompt_mask], 1),
    )
    narrow, padded = (estimate_of(logprobs, policy, b, 1, entropy=True) for b in (batch, wide))
    torch.testing.assert_close(padded.logps, narrow.logps, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded.entropy, narrow.entropy, atol=1e-5, rtol=1e-5)
    assert torch.equal(padded.scored, narrow.scored)
    expected = gradient_of(policy, loss_of(policy, batch, logprobs=logprobs))
    torch.testing.assert_close(
        gradient_of(policy, loss_of(policy, wide, logprobs=logprobs)), expected, atol=1e-6, rtol=1e-5
    )
    # What stands in the padding is never read.
    junk = replace(wide, prompt_ids=wide.prompt_ids.masked_fill(~wide.prompt_mask, 9))
    assert torch.equal(estimate_of(logprobs, policy, junk, 1).logps, padded.logps)


def test_left_padding_changes_no_completion():
    policy = tiny_policy()
    prompts = encoded(policy, 6)
    longest = max(prompts, key=lambda p: len(p.ids))
    short = [p for p in prompts if len(p.ids) < len(longest.ids)]
    assert short
    runs = engine(inpaint=inpaint())
    alone = runs.run(policy, short, 3)
    beside = runs.run(policy, [longest, *short], 3)
    assert collate(short, policy.pad_id).ids.shape[1] < collate(prompts, policy.pad_id).ids.shape[1]
    assert torch.equal(beside.tokens[1:], alone.tokens)
    assert torch.equal(beside.hint_mask[1:], alone.hint_mask)
    torch.testing.assert_close(beside.old_logps[1:], alone.old_logps, atol=1e-5, rtol=1e-5)

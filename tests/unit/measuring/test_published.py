"""The published code in our words does what it says, and where it is exact it agrees with ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fakes import FixedPolicy

from igpo_lightning.measuring.published import PublishedUpdate, complete, completions_of, noised
from igpo_lightning.measuring.workload import kept
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.seeding import torch_rng

MASK, V = 1, 9


def scattered(seed=0, never=(MASK, 0)):
    """A policy whose logits depend on the whole canvas, and that never wants the mask or the end."""
    table = torch.randn(64, 12, V, generator=torch_rng(seed, "table"))

    def logits(tokens):
        places = torch.arange(1, tokens.shape[1] + 1)
        found = table[(tokens * places).sum(1) % 64][:, : tokens.shape[1]].clone()
        found[..., list(never)] = -1e4
        return found

    return FixedPolicy(logits, mask_id=MASK, eos_id=0)


@pytest.mark.parametrize(("block", "steps"), [(8, 8), (4, 8), (4, 4), (8, 3), (4, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_at_temperature_0_it_writes_the_ids_of_the_exact_sampler(block, steps, seed):
    """Three steps of a block of 8 write 3, 3 and 2 tokens; both begin with the larger numbers."""
    prompts = torch.randint(2, V, (5, 4), generator=torch_rng(seed, "prompts"))
    canvas = torch.cat([prompts, torch.full((5, 8), MASK)], dim=1)
    sampler = BlockwiseSampler(8, block, steps)
    ours = sampler(scattered(seed), canvas, None, [0] * 5)
    theirs = complete(scattered(seed), sampler, prompts, torch_rng(0, "noise"))
    assert torch.equal(theirs, ours.tokens[:, 4:])


def test_every_row_goes_through_the_model_at_every_step():
    policy = scattered()
    complete(policy, BlockwiseSampler(8, 4, 4, 1.0), torch.full((5, 4), 3), torch_rng(0, "noise"))
    assert [tuple(call.shape) for call in policy.calls] == [(5, 12)] * 4
    assert [int((call == MASK).sum(1).unique()) for call in policy.calls] == [8, 6, 4, 2]


def test_its_noise_draws_from_the_softmax():
    """2/3 ln 2 at temperature 2/3 is ln 2: of two tokens one comes twice as often, in 2/3 of 20,000."""
    logits = torch.full((1, 20_000, 4), -torch.inf)
    logits[..., 2], logits[..., 3] = 0.0, 2 / 3 * 0.6931471805599453
    drawn = noised(logits, 2 / 3, torch_rng(0, "noise")).argmax(-1)
    assert (drawn == 3).double().mean().item() == pytest.approx(2 / 3, abs=4 * (2 / 9 / 20_000) ** 0.5)


def test_its_sampler_and_ours_agree_on_a_network(workload):
    load = workload("sampler.temperature=0")
    with torch.no_grad():  # neither may want the mask, which only ours forbids, nor an end, where ours stops
        load.policy.network.lm_head.weight[[load.policy.mask_id, load.policy.eos_id]] = 0.0
    theirs = completions_of(load, load.which)
    ids = torch.tensor([load.prompts[p].ids for p in load.which])
    canvas = torch.cat([ids, torch.full((4, 8), load.policy.mask_id)], dim=1)
    ours = load.algorithm.sampler(load.policy, canvas, None, [0] * 4)
    assert (ours.tokens[:, 4:] != load.policy.eos_id).all(), "choose another seed: a row ends early"
    assert torch.equal(theirs, ours.tokens[:, 4:])


def test_prompts_of_one_length_go_together(workload):
    """It knows no padding: with it, the shorter prompt's completion would be another."""
    load = workload("sampler.temperature=0")
    long, short = load.prompts[0], replace(load.prompts[1], ids=load.prompts[1].ids[:2])
    both = completions_of(replace(load, prompts=[long, short]), [0, 0, 1, 1])
    alone = [completions_of(replace(load, prompts=[prompt]), [0, 0]) for prompt in (short, long)]
    assert torch.equal(both, torch.cat(alone))  # the shortest first
    assert not torch.equal(*alone)


def test_its_log_probs_are_those_of_the_mean_field(workload):
    load = workload()
    completions = torch.randint(2, 30, (2, 2, 8), generator=torch_rng(0, "completions"))
    update = PublishedUpdate(load.algorithm, 0.2)
    known = update.logprobs(load.policy, load.prompts, completions, torch_rng(0, "masks"))
    for prompt, group, (old, ref) in zip(load.prompts, completions, known, strict=True):
        canvas = torch.tensor([*prompt.ids, *[load.policy.mask_id] * 8])
        table = load.policy(canvas[None])[0, -8:].log_softmax(-1)
        expected = table.gather(1, group.T).T
        assert old.shape == (2, 2, 8)  # μ, G, C
        torch.testing.assert_close(old, expected.expand(2, -1, -1), atol=1e-5, rtol=0)
        torch.testing.assert_close(ref, old)


def test_its_loss_by_hand(workload):
    """Ratios e^0.1 and e^-0.5, advantages 1 and -1, clipped to [0.8, 1.2]; the KL of no difference is 0."""
    load = workload()
    old = torch.full((2, 4), -2.0)
    logps = old + torch.tensor([[0.1], [-0.5]])
    loss = PublishedUpdate(load.algorithm, 0.2)._loss(logps, old, logps, torch.tensor([1.0, -1.0]))
    assert loss.item() == pytest.approx(-(1.1051709 - 0.8) / 2, abs=1e-6)


def test_its_updates_change_the_weights_and_the_bench_puts_them_back(workload):
    load = workload()
    before = [weight.detach().clone() for weight in load.policy.parameters()]
    completions = torch.randint(2, 30, (2, 2, 8), generator=torch_rng(0, "completions"))
    update, masks = PublishedUpdate(load.algorithm, 0.2), torch_rng(0, "masks")
    with kept(load.policy):
        known = update.logprobs(load.policy, load.prompts, completions, masks)
        advantages = torch.tensor([[1.0, -1.0], [0.5, -0.5]])
        update.updates(load.policy, load.prompts, completions, advantages, known, masks)
        changed = [not torch.equal(a, b) for a, b in zip(before, load.policy.parameters(), strict=True)]
        assert all(changed)
    assert all(torch.equal(a, b) for a, b in zip(before, load.policy.parameters(), strict=True))
    assert all(weight.grad is None for weight in load.policy.parameters())

import pytest
import torch
from fakes import FixedPolicy, sft_fit, supervised, tiny_policy

from igpo_lightning.data.sft_data import SFTBatch, SFTDataModule
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.seeding import torch_rng
from igpo_lightning.training import MaskedDiffusionSFT
from igpo_lightning.training.sft import draw_masks
from igpo_lightning.types import Prompt

MASK, HALF, QUARTER = 1, 2, 3  # the fixed policy gives token 2 p = 1/2, and 3 and 4 p = 1/4
LOG2 = torch.tensor(2.0).log().item()


def module(policy, **options):
    return MaskedDiffusionSFT(policy, supervised(sampler=BlockwiseSampler(4, 4, 2), **options))


def batch(response, prompt=((5, 5), (0, 5)), mask=((1, 1), (0, 1)), **place):
    mask, response = torch.tensor(mask, dtype=torch.bool), torch.tensor(response)
    rows, width = response.shape  # all of it is text
    text, whole = torch.full((rows,), width), torch.ones(rows, dtype=torch.bool)
    return SFTBatch(torch.tensor(prompt), mask, response, text, whole, **place)


def fixed_policy():
    row = torch.tensor([-30.0, -30.0, 0.5, 0.25, 0.25])
    row[2:] = row[2:].log()
    return FixedPolicy(lambda t: row.expand(*t.shape, 5))


def test_the_loss_by_hand():
    """Row 0, t = 1/2: tokens of p = 1/2 and 1/4 hidden: (1 + 2) log 2 / 0.5 = 6 log 2.
    Row 1, t = 1/4: one token of p = 1/4 hidden: 2 log 2 / 0.25 = 8 log 2. Over B · C = 8 tokens."""
    masked = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
    policy = fixed_policy()
    response = [[HALF, HALF, QUARTER, HALF], [HALF, HALF, HALF, QUARTER]]
    loss, metrics = module(policy).denoise(batch(response), torch.tensor([[0.5], [0.25]]), masked)
    assert loss.item() == pytest.approx(14 * LOG2 / 8, rel=1e-5)
    right = float(metrics["token_accuracy"])
    assert right == pytest.approx(1 / 3)  # only the token of p = 1/2 is the best guess
    expected = [[5, 5, MASK, HALF, MASK, HALF], [0, 5, HALF, HALF, HALF, MASK]]  # the prompt is never hidden
    assert policy.calls[0].tolist() == expected


@pytest.mark.parametrize("end_id", [0, 6])
def test_a_target_is_the_trace_its_end_and_a_fill_of_eos(monkeypatch, end_id):
    """Also where the end does not fit any more."""
    policy = FixedPolicy(lambda t: t, eos_id=0, end_id=end_id or None)
    monkeypatch.setattr(SFTDataModule, "policy", policy)
    _, data = sft_fit(tiny_policy())
    data.length = 4
    prompts = [Prompt(None, ids, response) for ids, response in (((5,), (7, 8)), ((5, 5), (7, 8, 9, 7)))]
    made = data.collate(prompts, torch.device("cpu"))
    assert made.text.tolist() == [3, 4] and made.whole.tolist() == [True, False]
    assert made.response.tolist() == [[7, 8, end_id, 0], [7, 8, 9, 7]]
    assert made.prompt_ids.tolist() == [[0, 5], [5, 5]]


def test_hiding_nothing_teaches_nothing():
    policy = tiny_policy()
    loss, metrics = module(policy).denoise(
        batch([[9, 9, 9, 9]] * 2), torch.ones(2, 1), torch.zeros(2, 4, dtype=torch.bool)
    )
    loss.backward()
    assert loss == 0 and not any(map(float, metrics.values()))
    assert all((p.grad == 0).all() for p in policy.parameters())


def test_padding_does_not_matter():
    policy = tiny_policy()
    narrow = batch([[9, 8, 7, 0], [4, 5, 6, 0]])
    wide = batch([[9, 8, 7, 0], [4, 5, 6, 0]], ((0, 0, 5, 5), (0, 0, 0, 5)), ((0, 0, 1, 1), (0, 0, 0, 1)))
    draws = draw_masks((2, 4), 0.0, torch_rng(3))
    losses = [module(policy).denoise(b, *draws)[0] for b in (narrow, wide)]
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-5)


def canvas(seed=0, **place):
    """What the policy is shown in a training step."""
    policy = fixed_policy()
    rows = place.get("of", 2) if "start" not in place else 1
    module(policy, seed=seed).compute_loss(
        batch([[HALF] * 64] * rows, ((5, 5),) * rows, ((1, 1),) * rows, **place)
    )
    return policy.calls[-1]


def test_masks_belong_to_seed_and_update():
    first = canvas()
    assert torch.equal(first, canvas())
    assert not torch.equal(first, canvas(seed=1)) and not torch.equal(first, canvas(update=1))


def test_masks_do_not_depend_on_how_an_update_is_cut():
    whole = canvas(update=5, of=4)
    assert len(whole) == 4
    assert torch.equal(whole, torch.cat([canvas(update=5, of=4, start=i) for i in range(4)]))


def test_ratios_are_spread_evenly_over_the_batch():
    for seed in range(50):
        ratio, masked = draw_masks(torch.Size((8, 500)), 0.0, torch_rng(seed))
        assert ratio.shape == (8, 1) and masked.shape == (8, 500)
        strata = torch.ceil(ratio[:, 0] * 8).long()  # t in (k/8, (k+1)/8]
        assert sorted(strata.tolist()) == [1, 2, 3, 4, 5, 6, 7, 8]
        error = (masked.float().mean(1) - ratio[:, 0]).abs()
        assert error.max() < 5 * 0.5 / 500**0.5
    order = [draw_masks(torch.Size((8, 1)), 0.0, torch_rng(s))[0].argmax().item() for s in range(200)]
    assert len(set(order)) == 8  # any row may get the largest


def test_the_smallest_ratio_bounds_the_weights():
    ratios = torch.cat([draw_masks(torch.Size((4, 1)), 0.3, torch_rng(s))[0] for s in range(300)])
    assert 0.3 <= ratios.min() < 0.32 and 0.98 < ratios.max() <= 1
    assert ratios.mean() == pytest.approx(0.65, abs=0.01)

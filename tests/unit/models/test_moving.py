"""A reference that moves: a copy of what is trained, mixed towards the policy."""

import pytest
import torch
from fakes import LORA, tiny_policy

from igpo_lightning.models.moving import MovingReference

TOKENS = torch.tensor([[2, 3, 4, 5, 1, 6]])
KINDS = pytest.mark.parametrize("options", [{}, {"lora": LORA}, {"tie_embeddings": True}],
                                ids=["full", "lora", "tied"])  # fmt: skip


def moved_by(policy, by):
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(by)


@KINDS
@torch.no_grad()
def test_it_stays_until_it_is_moved_and_then_is_the_policy(options):
    policy = tiny_policy(**options)
    policy.keep_reference(moves=True)
    names = list(policy.state_dict())
    start = policy(TOKENS)
    with policy.reference() as frozen:
        assert torch.equal(frozen(TOKENS), start)
    moved_by(policy, 0.1)
    now, trained = policy(TOKENS), [n for n, p in policy.named_parameters() if p.requires_grad]
    with policy.reference() as frozen:
        assert torch.equal(frozen(TOKENS), start)
    policy.moving.move(policy.model, 1.0)
    with policy.reference() as frozen:
        assert torch.equal(frozen(TOKENS), now) and (now - start).abs().max() > 1e-2
    assert torch.equal(policy(TOKENS), now)
    assert list(policy.state_dict()) == names  # it is in no checkpoint's weights
    assert [n for n, p in policy.named_parameters() if p.requires_grad] == trained


@torch.no_grad()
def test_the_mixture_is_that_of_trl():
    """From 1, towards 2 by 0.6: 1.6; then towards 4: 0.6 · 4 + 0.4 · 1.6 = 3.04."""
    layer = torch.nn.Linear(2, 1, bias=False)
    layer.weight.fill_(1.0)
    reference = MovingReference(layer)
    for weight, expected in ((2.0, 1.6), (4.0, 3.04)):
        layer.weight.fill_(weight)
        reference.move(layer, 0.6)
        with reference.in_place(layer):
            torch.testing.assert_close(layer(torch.ones(1, 2)), torch.full((1, 1), 2 * expected))
        assert float(layer(torch.ones(1, 2)).detach()) == 2 * weight


@torch.no_grad()
def test_autocast_does_not_go_on_with_the_policys_weights():
    """It keeps a bfloat16 copy of a float32 parameter as long as its context lasts."""
    policy = tiny_policy()
    policy.keep_reference(moves=True)
    with torch.autocast("cpu", torch.bfloat16):
        start = policy(TOKENS)
    moved_by(policy, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        now = policy(TOKENS)
        with policy.reference() as frozen:
            assert torch.equal(frozen(TOKENS), start)
        assert torch.equal(policy(TOKENS), now) and not torch.equal(now, start)


@torch.no_grad()
def test_small_steps_survive_weights_of_few_bits():
    """Towards a bfloat16 weight that is one step of 2^-7 away, a hundredth at a time."""
    layer = torch.nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    layer.weight.fill_(1.0)
    reference = MovingReference(layer)
    layer.weight.fill_(1.0 + 2**-7)
    for _ in range(10):
        reference.move(layer, 0.01)
    expected = 1.0 + 2**-7 * (1 - 0.99**10)
    assert float(reference.weights["weight"]) == pytest.approx(expected, abs=1e-6)
    with reference.in_place(layer):
        assert layer.weight.dtype == torch.bfloat16


@KINDS
@torch.no_grad()
def test_it_is_saved_and_taken_up_again(options):
    policy = tiny_policy(**options)
    policy.keep_reference(moves=True)
    moved_by(policy, 0.1)
    policy.moving.move(policy.model, 0.5)
    with policy.reference() as frozen:
        expected = frozen(TOKENS)
    again = tiny_policy(**options)
    again.keep_reference(moves=True)
    again.moving.load_state_dict(policy.moving.state_dict())
    with again.reference() as frozen:
        assert torch.equal(frozen(TOKENS), expected)


def test_an_adapters_copy_is_small():
    policy = tiny_policy(lora=LORA)
    policy.keep_reference(moves=True)
    held = sum(copy.numel() for copy in policy.moving.weights.values())
    assert held == sum(p.numel() for p in policy.parameters() if p.requires_grad) < 1000
    assert not policy._frozen

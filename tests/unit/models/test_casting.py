"""Casting a policy changes its weights, and nothing else about the network."""

import copy

import pytest
import torch
from fakes import LORA, tiny_policy

from igpo_lightning.models import load_policy
from igpo_lightning.models.casting import cast, trained_in_float32

# One head of LLaDA's: its frequencies reach from 1 down to 2.5e-6.
LLADA_HEAD = {"hidden_size": 128, "heads": 1, "layers": 2, "mlp_size": 64, "rope_theta": 500_000.0}
CASTS = {
    "to": lambda policy: policy.to(torch.bfloat16),
    "bfloat16": lambda policy: policy.bfloat16(),
    "half": lambda policy: policy.half(),
    "double": lambda policy: policy.double(),
    "by what holds it": lambda policy: torch.nn.Sequential(policy).to("cpu", torch.bfloat16)[0],
    "there and back": lambda policy: policy.to(torch.bfloat16).to(torch.float32),
}


def exact_frequencies(head=128, theta=500_000.0):
    """As the network computes them when it is made, in float32."""
    return 1.0 / theta ** (torch.arange(0, head, 2, dtype=torch.float32) / head)


def canvas(length=1024):
    return torch.arange(length)[None] % 40 + 3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_frequencies_are_exact_when_loaded(tmp_path, dtype):
    tiny_policy(**LLADA_HEAD).save(tmp_path)
    rotary = load_policy(str(tmp_path), dtype=dtype).network.model.rotary_emb
    assert torch.equal(rotary.inv_freq, exact_frequencies())


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("name", CASTS)
def test_frequencies_survive_every_cast(name, lora):
    policy = CASTS[name](tiny_policy(lora=lora, **LLADA_HEAD))
    rotary = policy.network.model.rotary_emb
    for buffer in (rotary.inv_freq, rotary.original_inv_freq):
        assert buffer.dtype == torch.float32
        assert torch.equal(buffer, exact_frequencies())
    expected = {"half": torch.float16, "double": torch.float64, "there and back": torch.float32}
    assert {p.dtype for p in policy.parameters()} == {expected.get(name, torch.bfloat16)}


def test_a_rounded_frequency_would_turn_an_angle_by_more_than_a_radian():
    exact = exact_frequencies().double()
    turned = (exact.bfloat16().double() - exact).abs() * 1000
    assert 1 < turned.max() < 2


@torch.no_grad()
def test_logits_in_bfloat16_are_those_of_exact_frequencies():
    policy = tiny_policy(**LLADA_HEAD).to(torch.bfloat16)
    expected = copy.deepcopy(policy.network)
    expected.model.rotary_emb.inv_freq = exact_frequencies()
    logits = policy(canvas())
    assert torch.equal(logits, expected(canvas(), use_cache=False).logits)
    expected.model.rotary_emb.inv_freq = exact_frequencies().bfloat16()
    assert (logits - expected(canvas(), use_cache=False).logits).abs().max() > 0.1  # they do matter


def kl_to_reference(policy):
    with torch.no_grad():
        own = policy(canvas()).float().log_softmax(-1)
        with policy.reference() as frozen:
            other = frozen(canvas()).float().log_softmax(-1)
    return (own.exp() * (own - other)).sum(-1).mean().item()


@pytest.mark.parametrize("loaded", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [torch.bfloat16, torch.float32, torch.float64])
def test_a_policy_is_its_own_reference_before_any_update(loaded, trained):
    policy = tiny_policy(**LLADA_HEAD).to(loaded)
    policy.keep_reference()
    assert kl_to_reference(policy.to(trained)) == 0
    with torch.no_grad():
        policy.network.model.layers[0].mlp.down_proj.weight.mul_(1.5)
    assert kl_to_reference(policy) > 1e-4


def test_buffers_move_with_the_weights():
    network = tiny_policy(**LLADA_HEAD).network
    assert cast(network, torch.device("meta"), torch.bfloat16).model.rotary_emb.inv_freq.is_meta
    frozen = tiny_policy(**LLADA_HEAD).to("meta")
    assert frozen.network.model.rotary_emb.inv_freq.is_meta
    assert frozen.to_empty(device="cpu").network.model.rotary_emb.inv_freq.device.type == "cpu"


def test_only_what_is_trained_is_put_into_float32():
    policy = tiny_policy(lora=LORA).to(torch.bfloat16)
    trained_in_float32(policy)
    for name, parameter in policy.named_parameters():
        assert parameter.dtype == (torch.float32 if "lora_" in name else torch.bfloat16)
    assert {p.dtype for p in trained_in_float32(tiny_policy().double()).parameters()} == {torch.float64}

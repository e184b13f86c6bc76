"""Adapters on adapters: RL on top of SFT."""

import json

import pytest
import torch
from checkpoints import write_llada
from fakes import LORA, rollout_fit, tiny_policy

from igpo_lightning.checks import ConfigError, model_source
from igpo_lightning.models import load_policy

TOKENS = torch.arange(4, 16)[None]


def move(policy, by):
    """Add to what is trained, as an optimiser would."""
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.requires_grad and "lora_B" in name:
                weight.add_(by)


@pytest.fixture
def sft(tmp_path):
    """The folder of an adapter on a published model."""
    write_llada(tmp_path / "base")
    policy = load_policy(str(tmp_path / "base"), lora=LORA)
    move(policy, 0.05)
    policy.save(tmp_path / "sft")
    return tmp_path / "sft"


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_second_adapter_is_on_top_of_the_first(tmp_path, sft, dtype):
    exact = {"atol": 1e-5, "rtol": 1e-5} if dtype == "float32" else {"atol": 0.1, "rtol": 0.02}
    start = load_policy(str(sft), dtype=dtype)
    policy = load_policy(str(sft), dtype=dtype, lora=LORA)
    torch.testing.assert_close(policy(TOKENS), start(TOKENS), **exact)
    trainable = [n for n, p in policy.named_parameters() if p.requires_grad]
    assert trainable and all(".default." in n for n in trainable)
    move(policy, 0.1)
    policy.save(tmp_path / "rl")
    assert json.loads((tmp_path / "rl" / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == str(sft)
    again = load_policy(str(tmp_path / "rl"), dtype=dtype)
    torch.testing.assert_close(again(TOKENS), policy(TOKENS), **exact)
    assert (again(TOKENS) - start(TOKENS)).abs().max() > 0.2
    if dtype == "float32":
        policy.save(tmp_path / "merged", merge=True)
        torch.testing.assert_close(load_policy(str(tmp_path / "merged"))(TOKENS), policy(TOKENS), **exact)


def test_without_a_further_adapter_all_of_the_sum_is_trained(sft):
    """RL of all weights after fine-tuning an adapter: in float32 they are one."""
    plain = load_policy(str(sft.parent / "base"))
    policy = load_policy(str(sft))
    assert [n for n, p in policy.named_parameters() if p.requires_grad] == [
        n for n, _ in plain.named_parameters()
    ]
    policy(TOKENS).sum().backward()
    assert all(p.grad is not None for p in policy.parameters())


def test_where_nothing_would_be_trained_that_is_said(tmp_path, sft):
    module, _ = rollout_fit(load_policy(str(sft), dtype="bfloat16"))
    with pytest.raises(
        ConfigError, match=r"model.lora=null: nothing would be trained.*model.load.dtype=float32"
    ):
        module.configure_optimizers()


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_reference_is_what_training_started_from(sft, dtype):
    policy = load_policy(str(sft), dtype=dtype, lora=LORA)
    policy.keep_reference()
    start = policy(TOKENS)
    before = {n for n, p in policy.named_parameters() if p.requires_grad}
    move(policy, 0.1)
    moved = policy(TOKENS)
    with policy.reference() as frozen:
        assert torch.equal(frozen(TOKENS), start)
    assert torch.equal(policy(TOKENS), moved) and not torch.equal(moved, start)
    assert {n for n, p in policy.named_parameters() if p.requires_grad} == before


@torch.no_grad()
def test_a_small_update_survives_bfloat16(tmp_path):
    """ΔW is 1e-5 everywhere, next to weights of 0.2: added to them it would be rounded away."""
    write_llada(tmp_path / "base", torch_dtype="bfloat16")
    policy = load_policy(str(tmp_path / "base"), dtype="bfloat16", lora={**LORA, "alpha": 2})
    for name, weight in policy.named_parameters():
        if weight.requires_grad:
            weight.fill_(1e-5 if "lora_B" in name else 0.5)
    policy.save(tmp_path / "adapter")
    again = load_policy(str(tmp_path / "adapter"), dtype="bfloat16")
    layer = again.network.model.layers[0].self_attn.q_proj
    delta = sum(layer.get_delta_weight(name) for name in layer.lora_A)
    torch.testing.assert_close(delta, torch.full_like(delta, 1e-5), atol=1e-8, rtol=1e-3)
    added = (layer.base_layer.weight.float() + delta).bfloat16()
    assert (added == layer.base_layer.weight).float().mean() > 0.95


def test_targets_are_found_through_an_earlier_adapter(sft):
    with pytest.raises(ConfigError, match="'query'") as caught:
        load_policy(str(sft), dtype="bfloat16", lora={**LORA, "targets": ["query"]})
    message = str(caught.value)
    assert "base_layer" not in message and "lora_A" not in message and "'q_proj'" in message


def test_the_command_line_takes_an_adapter_folder(sft):
    assert model_source("model.path", str(sft)) == str(sft)


def test_an_adapter_without_a_model_is_refused(tmp_path, sft):
    path = sft / "adapter_config.json"
    config = json.loads(path.read_text())
    for base, message in (
        (None, r"does not say which base model"),
        (str(sft), "is its own base model"),
        (str(tmp_path / "gone"), r"sft/adapter_config.json: base_model_name_or_path=.*gone: no such folder"),
    ):
        path.write_text(json.dumps({**config, "base_model_name_or_path": base}))
        with pytest.raises(ConfigError, match=message):
            load_policy(str(sft))


def test_an_adapter_on_a_model_that_is_nowhere_is_saved_with_it(tmp_path):
    policy = tiny_policy(lora=LORA)
    move(policy, 0.1)
    policy.save(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    with torch.no_grad():
        torch.testing.assert_close(load_policy(str(tmp_path))(TOKENS), policy(TOKENS), atol=1e-5, rtol=1e-5)

"""Small checkpoints in LLaDA's published layout: names, config fields, shards and their index."""

import json

import pytest
import torch
from checkpoints import GROUPED, WIDE, write_llada
from fakes import tiny_policy
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy, network_config
from igpo_lightning.models.llada import LLADA


def by_hand(folder, tokens, config):
    """[L, V] logits of one row from the published tensors, as arXiv 2502.09992 describes the network."""
    t = {k: v for f in folder.glob("*.safetensors") for k, v in load_file(f).items()}
    heads, groups = config["n_heads"], config["n_heads"] // config["n_kv_heads"]
    width = config["d_model"] // heads

    def norm(x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"]) * t[f"{name}.weight"]

    def rotated(x):  # [heads, L, width]
        angle = torch.arange(len(tokens))[:, None] / config["rope_theta"] ** (
            torch.arange(0, width, 2) / width
        )
        cos, sin = (f(torch.cat([angle, angle], -1)) for f in (torch.cos, torch.sin))
        left, right = x.chunk(2, -1)
        return x * cos + torch.cat([-right, left], -1) * sin

    x = t["model.transformer.wte.weight"][tokens]
    for i in range(config["n_layers"]):
        block = f"model.transformer.blocks.{i}"

        def linear(x, name, block=block):
            return x @ t[f"{block}.{name}.weight"].T

        y = norm(x, f"{block}.attn_norm")
        q, k, v = (linear(y, f"{n}_proj").view(len(tokens), -1, width).transpose(0, 1) for n in "qkv")
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        weights = (rotated(q) @ rotated(k).transpose(1, 2) / width**0.5).softmax(-1)  # every token sees all
        x = x + linear((weights @ v).transpose(0, 1).flatten(1), "attn_out")
        y = norm(x, f"{block}.ff_norm")
        x = x + linear(torch.nn.functional.silu(linear(y, "ff_proj")) * linear(y, "up_proj"), "ff_out")
    return norm(x, "model.transformer.ln_f") @ t["model.transformer.ff_out.weight"].T


@torch.no_grad()
@pytest.mark.parametrize("sizes", [WIDE, GROUPED], ids=["every head its own keys", "shared keys"])
def test_a_published_checkpoint_gives_the_published_logits(tmp_path, sizes):
    config = write_llada(tmp_path, sizes=sizes)
    policy = load_policy(str(tmp_path))
    tokens = torch.randint(0, 250, (12,), generator=torch.Generator().manual_seed(0))
    expected = by_hand(tmp_path, tokens, config)
    torch.testing.assert_close(policy(tokens[None])[0], expected, atol=1e-4, rtol=1e-4)
    padded = torch.cat([torch.full((4,), policy.pad_id), tokens])[None]
    attention = torch.arange(16)[None] >= 4
    torch.testing.assert_close(policy(padded, attention)[0, 4:], expected, atol=1e-4, rtol=1e-4)
    names = policy.tokenizer.convert_ids_to_tokens([policy.mask_id, policy.eos_id, policy.end_id])
    assert names == ["<|mdm_mask|>", "<|endoftext|>", "<|eot_id|>"]
    assert policy.stop_ids == (policy.end_id, policy.eos_id) and not policy.shifted


@pytest.mark.parametrize("field, value, said", [
    ("alibi", True, "alibi=True, but only models with alibi=False are Llama blocks"),
    ("block_group_size", 4, "block_group_size=4, but only models with block_group_size=1"),
])  # fmt: skip
def test_a_variant_that_is_no_llama_is_refused(tmp_path, field, value, said):
    write_llada(tmp_path, **{field: value})
    with pytest.raises(ConfigError, match=said):
        load_policy(str(tmp_path))


@pytest.mark.parametrize(
    "field",
    [{"n_heads": 3}, {"n_heads": "4"}, {"rms_norm_eps": "x"}, {"rope_theta": None}, {"d_model": None}],
)
def test_a_config_with_a_value_that_cannot_be_is_said_in_one_line(tmp_path, field):
    config = write_llada(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, **field}))
    with pytest.raises(ConfigError, match=r"^model\.path: cannot load ") as caught:
        load_policy(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [
    {"dtype": "bf16"}, {"lora": {"rank": 0, "alpha": 1, "targets": ["q_proj"]}},
    {"lora": {"rank": 1, "alpha": 1, "targets": "q_proj"}}, {"lora": {"rank": 1, "alpha": 1}},
])  # fmt: skip
def test_options_that_cannot_be_are_named(tmp_path, options):
    write_llada(tmp_path)
    with pytest.raises(ConfigError, match=r"^model\.(load\.dtype=bf16: expected one of|lora[.:])"):
        load_policy(str(tmp_path), **options)


def test_a_config_without_a_field_names_it(tmp_path):
    config = write_llada(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "d_model"}))
    with pytest.raises(ConfigError, match=r"config.json of .* has no field 'd_model'"):
        load_policy(str(tmp_path))


def test_the_published_config_is_the_published_model(real_data):
    """Eight billion parameters, under the 291 names of the published index."""
    config, _ = network_config(str(real_data("llada")))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == 8_015_581_184
    index = json.loads((real_data("llada") / "model.safetensors.index.json").read_text())
    assert {LLADA.published_name(name) for name in model.state_dict()} == set(index["weight_map"])
    assert config.mask_token_id == 126336


def test_a_qwen_folder_becomes_bidirectional(tmp_path):
    tokenizer = tiny_policy().tokenizer
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path))
    tokens = torch.arange(4, 16)[None]
    other = tokens.clone()
    other[0, -1] = 20
    for mask in (None, torch.ones_like(tokens, dtype=torch.bool)):
        with torch.no_grad():
            assert not torch.equal(policy(tokens, mask)[:, 0], policy(other, mask)[:, 0])

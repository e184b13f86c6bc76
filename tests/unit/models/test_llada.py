"""A small checkpoint in the published layout: names, config fields, shards and their index."""

import json

import pytest
import torch
from fakes import tiny_policy
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.models.llada import llama_config

NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
}
TOP = {
    "model.embed_tokens.weight": "model.transformer.wte.weight",
    "model.norm.weight": "model.transformer.ln_f.weight",
    "lm_head.weight": "model.transformer.ff_out.weight",
}


def published_name(name):
    if name in TOP:
        return TOP[name]
    _, _, layer, rest = name.split(".", 3)
    return f"model.transformer.blocks.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def write_published(policy, folder, **changes):
    config = policy.model.config
    policy.tokenizer.save_pretrained(folder)
    fields = {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "auto_map": {"AutoModelForCausalLM": "modeling_llada.LLaDAModelLM"},  # must not be followed
        "activation_type": "silu",
        "block_type": "llama",
        "layer_norm_type": "rms",
        "rope": True,
        "d_model": config.hidden_size,
        "n_layers": config.num_hidden_layers,
        "n_heads": config.num_attention_heads,
        "n_kv_heads": config.num_key_value_heads,
        "mlp_hidden_size": config.intermediate_size,
        "max_sequence_length": config.max_position_embeddings,
        "vocab_size": config.vocab_size,
        "embedding_size": config.vocab_size,
        "rope_theta": config.rope_parameters["rope_theta"],
        "rms_norm_eps": config.rms_norm_eps,
        "weight_tying": False,
        "mask_token_id": policy.mask_id,
        "eos_token_id": policy.eos_id,
        "pad_token_id": policy.pad_id,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(fields))
    tensors = {published_name(k): v.clone() for k, v in policy.model.state_dict().items()}
    names = sorted(tensors)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in shards.items():
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_a_published_checkpoint_gives_the_same_logits(tmp_path):
    policy = tiny_policy()
    write_published(policy, tmp_path)
    loaded = load_policy(str(tmp_path))
    tokens = torch.randint(4, 30, (3, 12), generator=torch.Generator().manual_seed(0))
    attention = torch.ones_like(tokens, dtype=torch.bool)
    attention[0, :3] = False
    with torch.no_grad():
        assert torch.equal(loaded(tokens), policy(tokens))
        assert torch.equal(loaded(tokens, attention), policy(tokens, attention))
    assert (loaded.mask_id, loaded.eos_id) == (policy.mask_id, policy.eos_id)


def test_a_variant_that_is_no_llama_is_refused(tmp_path):
    write_published(tiny_policy(), tmp_path, alibi=True)
    with pytest.raises(ConfigError, match="alibi=True, but only LLaDA models with alibi=False"):
        load_policy(str(tmp_path))


def test_the_published_config_describes_eight_billion_parameters(real_data):
    config = llama_config(json.loads((real_data("llada") / "config.json").read_text()))
    hidden, mlp, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    block = 4 * hidden * hidden + 3 * hidden * mlp + 2 * hidden
    assert config.num_hidden_layers * block + 2 * vocab * hidden + hidden == 8_015_581_184
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

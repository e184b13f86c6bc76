"""LLaDA checkpoints as published, read into stock Llama blocks.

A LLaDA network is a Llama with other names for its tensors and config fields, and bidirectional
attention (arXiv 2502.09992, section 2.2). No code of the checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig

from ..checks import ConfigError

MODEL_TYPE = "llada"

# Published tensor name → Llama's; the block's own ff_out must be told from the output head's.
KEY_MAPPING = {
    r"^model\.transformer\.blocks\.(\d+)\.attn_norm\.": r"model.layers.\1.input_layernorm.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_norm\.": r"model.layers.\1.post_attention_layernorm.",
    r"^model\.transformer\.blocks\.(\d+)\.q_proj\.": r"model.layers.\1.self_attn.q_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.k_proj\.": r"model.layers.\1.self_attn.k_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.v_proj\.": r"model.layers.\1.self_attn.v_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.attn_out\.": r"model.layers.\1.self_attn.o_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_proj\.": r"model.layers.\1.mlp.gate_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.up_proj\.": r"model.layers.\1.mlp.up_proj.",
    r"^model\.transformer\.blocks\.(\d+)\.ff_out\.": r"model.layers.\1.mlp.down_proj.",
    r"^model\.transformer\.wte\.": "model.embed_tokens.",
    r"^model\.transformer\.ln_f\.": "model.norm.",
    r"^model\.transformer\.ff_out\.": "lm_head.",
}

# What the published field must say for the network to be a Llama.
_EXPECTED = {
    "activation_type": "silu",
    "alibi": False,
    "attention_layer_norm": False,
    "block_type": "llama",
    "include_bias": False,
    "include_qkv_bias": False,
    "input_emb_norm": False,
    "layer_norm_type": "rms",
    "rope": True,
    "scale_logits": False,
}


def llama_config(published: Mapping[str, Any]) -> LlamaConfig:
    """The Llama config of a published LLaDA config.

    Raises:
        ConfigError: A field says that the network is not a Llama.
    """
    for name, expected in _EXPECTED.items():
        if published.get(name, expected) != expected:
            raise ConfigError(
                f"model.path: config.json says {name}={published[name]}, but only LLaDA models with "
                f"{name}={expected} are Llama blocks"
            )
    config = LlamaConfig(
        vocab_size=published.get("embedding_size") or published["vocab_size"],
        hidden_size=published["d_model"],
        num_hidden_layers=published["n_layers"],
        num_attention_heads=published["n_heads"],
        num_key_value_heads=published.get("n_kv_heads") or published["n_heads"],
        intermediate_size=published["mlp_hidden_size"],
        max_position_embeddings=published["max_sequence_length"],
        rope_parameters={"rope_type": "default", "rope_theta": published["rope_theta"]},
        rms_norm_eps=published["rms_norm_eps"],
        tie_word_embeddings=published["weight_tying"],
        bos_token_id=None,
        eos_token_id=published["eos_token_id"],
        pad_token_id=published["pad_token_id"],
    )
    config.mask_token_id = published["mask_token_id"]
    return config

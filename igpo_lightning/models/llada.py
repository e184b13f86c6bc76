"""LLaDA checkpoints as published (8B-Base, 8B-Instruct, 1.5, iLLaDA), in stock Llama blocks.

A LLaDA network is a Llama with other names for its tensors and config fields, and bidirectional
attention (arXiv 2502.09992, section 2.2). No code of the checkpoint is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig

from .family import Family, expect

# Published name → Llama's; the block's own ff_out must be told from the output head's.
_OF_A_BLOCK = {
    "attn_norm": "input_layernorm",
    "ff_norm": "post_attention_layernorm",
    "q_proj": "self_attn.q_proj",
    "k_proj": "self_attn.k_proj",
    "v_proj": "self_attn.v_proj",
    "attn_out": "self_attn.o_proj",
    "ff_proj": "mlp.gate_proj",
    "up_proj": "mlp.up_proj",
    "ff_out": "mlp.down_proj",
}
_OUTSIDE = {
    "model.transformer.wte": "model.embed_tokens",
    "model.transformer.ln_f": "model.norm",
    "model.transformer.ff_out": "lm_head",
}
_BLOCKS, _LAYERS = "model.transformer.blocks", "model.layers"

# What the published field must say for the network to be a Llama.
_EXPECTED = {
    "activation_type": "silu",
    "alibi": False,
    "attention_layer_norm": False,
    "bias_for_layer_norm": False,
    "block_group_size": 1,
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
    expect(published, _EXPECTED, "Llama blocks")
    heads = published["n_heads"]
    config = LlamaConfig(
        vocab_size=published.get("embedding_size") or published["vocab_size"],
        hidden_size=published["d_model"],
        num_hidden_layers=published["n_layers"],
        num_attention_heads=heads,
        num_key_value_heads=published.get("n_kv_heads")
        or (1 if published.get("multi_query_attention") else heads),
        intermediate_size=published["mlp_hidden_size"],
        max_position_embeddings=published["max_sequence_length"],
        rope_parameters={"rope_type": "default", "rope_theta": published["rope_theta"]},
        rms_norm_eps=published["rms_norm_eps"],
        tie_word_embeddings=published["weight_tying"],
        bos_token_id=None,
        eos_token_id=published["eos_token_id"],
        pad_token_id=published["pad_token_id"],
    )
    config.mask_token_id = published.get("mask_token_id")
    return config


def _renaming(old: str, new: str, block: Mapping[str, str], outside: Mapping[str, str]) -> dict[str, str]:
    """Patterns → replacements: blocks ``old`` become ``new``, names within one and outside as mapped."""
    inner = {
        rf"^{re.escape(old)}\.(\d+)\.{re.escape(name)}\.": rf"{new}.\1.{other}."
        for name, other in block.items()
    }
    return inner | {rf"^{re.escape(name)}\.": f"{other}." for name, other in outside.items()}


def _reversed(names: Mapping[str, str]) -> dict[str, str]:
    return {value: key for key, value in names.items()}


LLADA = Family(
    model_type="llada",
    config=llama_config,
    to_stock=_renaming(_BLOCKS, _LAYERS, _OF_A_BLOCK, _OUTSIDE),
    to_published=_renaming(_LAYERS, _BLOCKS, _reversed(_OF_A_BLOCK), _reversed(_OUTSIDE)),
)

"""SDAR checkpoints as published (1.7B to 8B, and TraDo's), in the stock Qwen3 network.

SDAR keeps the tensor names of the Qwen3 that it was initialised from, and not its shift; attention is
block-causal, in blocks of config.json's ``block_size`` (arXiv 2510.06303). No code of the checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Qwen3Config

from .family import Family, qwen_config

_EXPECTED = {"hidden_act": "silu", "rope_scaling": None, "use_sliding_window": False, "attention_bias": False}


def qwen3_config(published: Mapping[str, Any]) -> Qwen3Config:
    """The Qwen3 config of a published SDAR config, with its ``block_size`` (4 where it says none).

    Raises:
        ConfigError: A field says that the network is not a plain Qwen3.
    """
    config = qwen_config(Qwen3Config, published, _EXPECTED, "head_dim")
    config.mask_token_id = published.get("mask_token_id", 151669)
    config.block_size = published.get("block_size", 4)
    return config


SDAR = Family(model_type="sdar", config=qwen3_config, tokenizer_type="qwen2")

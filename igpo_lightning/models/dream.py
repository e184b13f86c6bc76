"""Dream checkpoints as published (Dream-7B and its kin), in the stock Qwen2 network.

Dream keeps the tensor names of the Qwen2.5 it was initialised from, and its shift: the hidden state of
position i predicts the token at i + 1 (arXiv 2508.15487, section 3). No code of the checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Qwen2Config

from .family import Family, expect

_EXPECTED = {"hidden_act": "silu", "rope_scaling": None, "use_mrope": False, "use_sliding_window": False}
_SAME = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)


def qwen_config(published: Mapping[str, Any]) -> Qwen2Config:
    """The Qwen2 config of a published Dream config.

    Raises:
        ConfigError: A field says that the network is not a plain Qwen2.
    """
    expect(published, _EXPECTED, "a plain Qwen2")
    config = Qwen2Config(
        **{name: published[name] for name in _SAME if name in published},
        rope_parameters={"rope_type": "default", "rope_theta": published["rope_theta"]},
    )
    config.mask_token_id = published["mask_token_id"]
    return config


DREAM = Family(model_type="Dream", config=qwen_config, shifted=True, tokenizer_type="qwen2")

"""Dream checkpoints as published (Dream-7B and its kin), in the stock Qwen2 network.

Dream keeps the tensor names of the Qwen2.5 it was initialised from, and its shift: the hidden state of
position i predicts the token at i + 1 (arXiv 2508.15487, section 3). No code of the checkpoint is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Qwen2Config

from .family import Family, qwen_config

_EXPECTED = {"hidden_act": "silu", "rope_scaling": None, "use_mrope": False, "use_sliding_window": False}


def qwen2_config(published: Mapping[str, Any]) -> Qwen2Config:
    """The Qwen2 config of a published Dream config.

    Raises:
        ConfigError: A field says that the network is not a plain Qwen2.
    """
    config = qwen_config(Qwen2Config, published, _EXPECTED)
    config.mask_token_id = published["mask_token_id"]
    return config


DREAM = Family(model_type="Dream", config=qwen2_config, shifted=True, tokenizer_type="qwen2")

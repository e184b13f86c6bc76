"""4-bit and 8-bit weights by bitsandbytes: the frozen base under a LoRA adapter (QLoRA, arXiv 2305.14314)."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from ..checks import ConfigError

KINDS = ("nf4", "int8")


def quantization_options(kind: str | None, dtype: torch.dtype, lora: Any) -> dict[str, Any]:
    """Options of ``from_pretrained`` for quantised linear layers; norms, embeddings and head stay.

    Args:
        kind: "nf4", "int8", or None for no quantisation.
        dtype: What the products are computed in.
        lora: The adapter that is to be trained, if any.

    Raises:
        ConfigError: Not a kind there is, no adapter, or no bitsandbytes.
    """
    if kind is None:
        return {}
    key = f"model.load.quantize={kind}"
    if kind not in KINDS:
        raise ConfigError(f"{key}: expected null, {' or '.join(KINDS)}")
    if not lora:
        raise ConfigError(f"{key}: quantised weights can't be trained; set model.lora for an adapter on them")
    if find_spec("bitsandbytes") is None:
        raise ConfigError(f"{key}: needs bitsandbytes; pip install 'igpo-lightning[quantize]'")
    head = ["lm_head"]
    if kind == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=head,
        )
    else:
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=head)
    # Weights are quantised where they are loaded: on the GPU that this process will train on.
    device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    return {"quantization_config": config, "device_map": {"": device}}

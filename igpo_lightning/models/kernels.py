"""Triton kernels of the package liger-kernel in place of some of a network's modules."""

from __future__ import annotations

from typing import Any

import torch

from ..checks import ConfigError

KEY = "model.load.liger"


def use_liger(network: Any) -> None:
    """Compute a network's RMSNorm, SwiGLU and rotary embedding by liger-kernel; its head stays as it is.

    Weights and names are the same, so that checkpoints are, too; results are the same up to rounding. The
    package also patches transformers' module of the architecture, for the whole process.

    Args:
        network: A ``*ForCausalLM`` of transformers, before adapters are added.

    Raises:
        ConfigError: The package or a GPU is missing, or it has nothing for this architecture.
    """
    kind = network.config.model_type
    try:
        from liger_kernel import transformers as liger  # not among our dependencies
    except ImportError:
        raise ConfigError(
            f"{KEY}: the package is not installed; pip install liger-kernel, or leave it out"
        ) from None
    if not torch.cuda.is_available():
        raise ConfigError(f"{KEY}: its kernels run on a GPU, and there is none here; leave it out")
    apply = getattr(liger, f"apply_liger_kernel_to_{kind}", None)
    if apply is None or kind not in ("llama", "qwen2"):
        raise ConfigError(f"{KEY}: for llama and qwen2, and this network is {kind}; leave it out")
    apply(
        rope=True,
        rms_norm=True,
        swiglu=True,
        cross_entropy=False,
        fused_linear_cross_entropy=False,
        model=network,
    )

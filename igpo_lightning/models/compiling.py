"""Decoder layers compiled by torch.compile, for sampling alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..checks import ConfigError, choice


class Compiling:
    """Compiles each decoder layer at its first use; one graph serves all lengths.

    Args:
        when: True, False, or "auto": on a CUDA GPU, where the weights are neither sharded nor quantised. On a
            CPU a graph takes half a minute to compile and gains a tenth.
    """

    def __init__(self, when: bool | str):
        self.when = choice("model.compile", str(when).lower(), "true", "false", "auto")
        self._forwards: list[Callable[..., Any]] = []

    @contextmanager
    def layers(self, policy: Any) -> Iterator[None]:
        """Within this context the policy's layers are compiled, if they are to be.

        Raises:
            ConfigError: They are to be, and are sharded.
        """
        if not self._wanted(policy):
            yield
            return
        layers = policy.network.model.layers
        if not self._forwards:
            self._forwards = [torch.compile(layer.forward, dynamic=True) for layer in layers]
        for layer, forward in zip(layers, self._forwards, strict=True):
            layer.forward = forward
        try:
            yield
        finally:
            for layer in layers:
                del layer.forward  # the class's own again: copies of a layer must not call the original's

    def _wanted(self, policy: Any) -> bool:
        if self.when == "false":
            return False
        if policy.sharded:
            if self.when == "true":
                raise ConfigError(
                    "model.compile=true: not with weights that ZeRO-3 or FSDP shards: take "
                    "model.compile=false, or hardware=zero2 or ddp"
                )
            return False
        quantised = getattr(policy.network, "is_quantized", False)
        on_gpu = next(policy.parameters()).device.type == "cuda"
        return self.when == "true" or (on_gpu and not quantised)

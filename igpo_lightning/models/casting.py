"""Weights are cast; buffers are not.

A rotary embedding keeps its frequencies in a float buffer. In bfloat16 they are off by up to 0.2 %, which
at position 1,000 turns an angle by more than a radian: another model, though no weight has changed.
``module.to(dtype)`` rounds buffers along with weights, and that is what precision plugins and engines call.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def exact_buffers(module: nn.Module) -> Iterator[None]:
    """Within this context ``module`` may be cast and moved; its floating-point buffers only move."""
    before = [
        (owner, name, buffer)
        for owner in module.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None and buffer.is_floating_point() and not buffer.is_meta
    ]
    yield
    for owner, name, buffer in before:
        now = owner._buffers[name]
        if now is not None and now.dtype != buffer.dtype:
            owner._buffers[name] = buffer.to(now.device)


def cast(module: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """``module``, moved to ``device`` with its weights in ``dtype``."""
    with exact_buffers(module):
        return module.to(device, dtype)


def trained_in_float32(module: nn.Module) -> nn.Module:
    """``module`` with those of its weights that are trained in float32, if they were in fewer bits.

    In bfloat16 a weight of 0.02 has neighbours 1.2e-4 away. An optimiser that moves it by a learning rate
    of 5e-7 at a time leaves it where it was.
    """
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.element_size() < 4:
            parameter.data = parameter.data.float()
    return module

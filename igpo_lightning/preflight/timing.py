"""Seconds of the work, from the rate at which the device that is asked for computes blocks of the model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .plan import Plan
from .trace import lower
from .work import Load

_TOKENS = 16384  # of a timed pass, at most
_OPERATIONS = {"cpu": 2e10, "cuda": 2e13}  # of a timed pass, at most: less than a second


def seconds_of(
    plan: Plan, loads: Sequence[Load], flops: Mapping[bool, float]
) -> tuple[list[float], list[str]]:
    """Seconds of each load in the whole run (none if the device is not here), and how they were found.

    Args:
        flops: Of a token in all blocks, without and with a backward pass.
    """
    device = plan.placement.device
    if device is None:
        why = "hardware asks for GPUs, and there is none here to time"
        return [], [f"not known: {why}; divide the FLOPs above by what yours reach"]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "this CPU"
    network = plan.skeleton.network(layers=1, vocabulary=8, device=device)
    rates, notes = {}, [f"estimate, from one block that was timed on {name}, constants for weights"]
    for grad, operations in flops.items():
        same, block = [load for load in loads if load.grad == grad], operations / plan.skeleton.layers
        most = min(
            _TOKENS, _OPERATIONS[device.type] / block, max(load.at_once * load.columns for load in same)
        )
        columns = max(1, min(int(most), max(load.columns for load in same)))
        tokens = torch.ones(max(1, int(most) // columns), columns, dtype=torch.long, device=device)
        quickest = min(_seconds(network, tokens, plan.placement.autocast, grad) for _ in range(2))
        rates[grad] = tokens.numel() * block / quickest
        kind, shape = "forward and backward" if grad else "forward", "{} x {}".format(*tokens.shape)
        notes.append(f"{kind}: {rates[grad] / 1e12:.3g} TFLOP/s, on {shape} tokens")
    notes.append(
        "not in it: output head, drawing, scoring, start-up, saving, communication between processes"
    )
    return [flops_of(load, flops) / rates[load.grad] for load in loads], notes


def flops_of(load: Load, flops: Mapping[bool, float]) -> float:
    """Operations of all its blocks in the whole run."""
    return load.times * load.rows * load.columns * flops[load.grad]


def _seconds(network: nn.Module, tokens: torch.Tensor, autocast: torch.dtype | None, grad: bool) -> float:
    wait = torch.cuda.synchronize if tokens.is_cuda else lambda: None
    wait()
    start = time.perf_counter()
    with torch.set_grad_enabled(grad), lower(autocast, tokens.device.type):
        hidden = network.model(input_ids=tokens, use_cache=False).last_hidden_state
    if grad:
        hidden.sum().backward()
    wait()
    return time.perf_counter() - start

"""Seconds of the work, from the rate at which the device that is asked for computes blocks of the model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from .plan import Plan
from .trace import lower
from .work import Load

_TOKENS = 16384  # of a timed pass, at most
_GROWTH = 4  # tokens of a pass, as a multiple of those of the one before
_ENOUGH = 0.5  # seconds of timed passes, after which no larger one follows


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
        most = min(_TOKENS, max(load.at_once * load.columns for load in same))
        run = partial(_seconds, network, autocast=plan.placement.autocast, grad=grad)
        rates[grad], shape = _rate(run, most, max(load.columns for load in same), block, device)
        kind = "forward and backward" if grad else "forward"
        notes.append(f"{kind}: {rates[grad] / 1e12:.3g} TFLOP/s, on {shape[0]} x {shape[1]} tokens")
    notes.append(
        "not in it: output head, drawing, scoring, start-up, saving, communication between processes"
    )
    return [flops_of(load, flops) / rates[load.grad] for load in loads], notes


def _rate(
    run: Callable[[torch.Tensor], float], most: int, columns: int, block: float, device: torch.device
) -> tuple[float, tuple[int, int]]:
    """FLOPs a second of the best pass, and its shape.

    Passes grow from one token, for which a CPU may need seconds.

    Args:
        run: [B, L] tokens → seconds.
        most: Tokens of the largest pass.
        columns: L, at most.
        block: FLOPs of a token.
    """
    best, shape, count, spent = 0.0, (1, 1), 1, 0.0
    while True:
        wide = min(count, columns)
        tokens = torch.ones(count // wide, wide, dtype=torch.long, device=device)
        seconds = run(tokens)
        spent += seconds
        if (rate := tokens.numel() * block / seconds) > best:
            best, shape = rate, (count // wide, wide)
        if spent >= _ENOUGH or count == most:
            return best, shape
        count = min(_GROWTH * count, most)


def flops_of(load: Load, flops: Mapping[bool, float]) -> float:
    """Operations of all its blocks in the whole run."""
    return load.times * load.rows * load.columns * flops[load.grad]


def _seconds(network: Any, tokens: torch.Tensor, autocast: torch.dtype | None, grad: bool) -> float:
    wait = torch.cuda.synchronize if tokens.is_cuda else lambda: None
    wait()
    start = time.perf_counter()
    with torch.set_grad_enabled(grad), lower(autocast, tokens.device.type):
        hidden = network.model(input_ids=tokens, use_cache=False).last_hidden_state
    if grad:
        hidden.sum().backward()
    wait()
    return time.perf_counter() - start

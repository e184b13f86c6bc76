"""Estimate of a stage: its time, and its memory against what there is."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..models import Policy
from .loads import can_sample_again
from .memory import Memory, advice
from .placement import Placement
from .plan import Plan
from .rehearsal import Piece, rehearse
from .timing import device_of, measure
from .work import Load

_SMALL = 20_000_000  # parameters of a model that is simply built and timed
_USABLE = 0.95  # of a GPU's memory; the rest is CUDA's own and lost between blocks


@dataclass(frozen=True)
class Estimate:
    """Time of a stage.

    Attributes:
        pieces: What takes it.
        how: How it was measured.
        notes: How it was extrapolated, and what is not in it.
    """

    pieces: tuple[Piece, ...]
    how: str
    notes: tuple[str, ...]

    @property
    def range(self) -> tuple[float, float]:
        """Seconds at best and at most."""
        most = sum(piece.total for piece in self.pieces)
        return most - sum(piece.total for piece in self.pieces if piece.optional), most


def estimate_time(plan: Plan, loads: Sequence[Load], make_policy: Callable[[], Policy] | None) -> Estimate:
    """Time ``plan`` on this machine.

    Args:
        make_policy: Builds the real policy; None if that is impossible, e.g. without weights.
    """
    size = sum(p.numel() for p in plan.policy.parameters())
    where = _device_name(device_of(plan.placement))
    if make_policy is not None and size <= _SMALL:
        pieces = rehearse(plan, loads, make_policy)
        weights = "fresh" if plan.skeleton.source is None else "the saved"
        return Estimate(tuple(pieces), f"real steps with {weights} weights, on {where}", _notes(plan, ()))
    sampler = plan.datamodule.engine.sampler if hasattr(plan.datamodule, "engine") else plan.module.decoder
    passes = measure(plan.skeleton, plan.placement, list(loads), sampler)
    pieces = [
        Piece(load.name, passes[load.grad].seconds(load) / load.times, load.times, load.optional)
        for load in loads
    ]
    batches = " and ".join(
        f"{p.rows} x {p.columns} tokens {'with' if grad else 'without'} backward"
        for grad, p in passes.items()
    )
    how = (
        f"1 and 2 blocks of the real width were timed ({batches}), and 4,096 entries of the vocabulary;",
        f"extrapolated linearly to {plan.skeleton.layers} blocks, all rows, all tokens and "
        f"{plan.skeleton.config.vocab_size:,} entries",
    )
    return Estimate(tuple(pieces), f"a few blocks, on {where}", _notes(plan, how))


def _notes(plan: Plan, how: Sequence[str]) -> tuple[str, ...]:
    notes = [*how]
    if device_of(plan.placement).type == "cpu" and plan.placement.accelerator == "gpu":
        notes.append("measured on this CPU: it says nothing about the GPUs that the run asks for")
    if hasattr(plan.datamodule, "engine") and can_sample_again(plan.datamodule.engine):
        notes.append("from no second try to one for every group; rows that end early take less")
    notes.append("not in it: start-up, saving, report, communication between processes")
    return tuple(notes)


def verdict(plan: Plan, memory: Memory, is_new: bool) -> str:
    """Say if the stage fits in memory, and what to change if it does not."""
    available, what = _available(plan.placement)
    if available is None:
        return (
            f"no GPU here to compare with: it takes one with {memory.peak / _USABLE / 2**30:,.1f} GiB or more"
        )
    needed = memory.peak if plan.placement.accelerator == "gpu" else memory.peak * plan.placement.devices
    if needed <= available:
        return f"fits into {what}"
    keys = "; ".join(f"{a.key} ({a.saves})" for a in advice(memory, plan.skeleton, plan.placement, is_new))
    return f"! DOES NOT FIT into {what}. What helps: {keys}"


def _available(placement: Placement) -> tuple[float | None, str]:
    """(bytes that may be used, what they are), or (None, "") if the device is not here."""
    if placement.accelerator == "gpu":
        if not torch.cuda.is_available():
            return None, ""
        name, total = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory
        return total * _USABLE, f"{name} with {total / 2**30:.1f} GiB, less 5 % for CUDA itself"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, f"the {total / 2**30:.1f} GiB of this machine"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"this CPU with {torch.get_num_threads()} threads"

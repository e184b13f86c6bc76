"""A rollout window within a checkpoint: as many processes as resume share what the former ones sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..types import RolloutBatch

_PROMPTS = ("prompt_ids", "prompt_mask")


def share(states: Sequence[Mapping[str, Any]], rank: int, world: int) -> dict[str, Any]:
    """What process ``rank`` of ``world`` goes on with.

    Args:
        states: Of each former process: "window" (a RolloutBatch's state or None), "indices" (its rows of
            the training set), "totals" (cumulative counts).
        rank, world: Of the processes that resume.
    """
    if len(states) == world:
        return dict(states[rank])
    # Counts are summed over processes when they are logged: the first one takes them all.
    totals = {
        name: sum(state["totals"][name] for state in states) if rank == 0 else 0.0
        for name in states[0]["totals"]
    }
    if states[0]["window"] is None:
        return {"window": None, "indices": [], "totals": totals}
    indices = [i for state in states for i in state["indices"]]
    count = len(indices) // world
    mine = slice(rank * count, (rank + 1) * count)
    whole = RolloutBatch.from_state_dict(_joined([state["window"] for state in states]))
    window = whole.rows(mine.start, mine.stop, inner=whole.inner, slot=whole.slot)
    return {"window": _trimmed(window.state_dict()), "indices": indices[mine], "totals": totals}


def _joined(windows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One window of all prompts, left-padded to the widest part."""
    width = max(window["prompt_ids"].shape[1] for window in windows)
    joined = dict(windows[0])
    for name, value in windows[0].items():
        if isinstance(value, Tensor):
            parts = [window[name].cpu() for window in windows]
            if name in _PROMPTS:
                parts = [torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in parts]
            joined[name] = torch.cat(parts, dim=RolloutBatch.prompt_axis(name))
    return joined


def _trimmed(window: dict[str, Any]) -> dict[str, Any]:
    """Without columns that are padding in every row: as if these prompts had been collated alone."""
    first = int(window["prompt_mask"].any(0).long().argmax())
    return {**window, **{name: window[name][:, first:] for name in _PROMPTS}}

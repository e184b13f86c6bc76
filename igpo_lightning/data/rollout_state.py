"""A rollout within a checkpoint: as many processes as resume share what the former ones sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..types import Rollout
from .schedule import places


def share(states: Sequence[Mapping[str, Any]], updates: int, rank: int, world: int) -> dict[str, Any]:
    """The part of a saved rollout that process ``rank`` of ``world`` goes on with.

    Args:
        updates: Into which a pass over the rollout is cut; each keeps its prompts.
        states: Of each former process: "rollout" (a Rollout's state or None), "indices" (its rows of
            the training set), "totals" (cumulative counts), "exact" (alike in all).
        rank, world: Of the processes that resume.
    """
    if len(states) == world:
        return dict(states[rank])
    # Counts are summed over processes when they are logged: the first one takes them all.
    totals = {
        name: sum(state["totals"][name] for state in states) if rank == 0 else 0.0
        for name in states[0]["totals"]
    }
    common = {"totals": totals, "exact": states[0].get("exact", False)}
    if states[0]["rollout"] is None:
        return {"rollout": None, "indices": [], **common}
    indices = [i for state in states for i in state["indices"]]
    there = (place for r in range(len(states)) for place in places(len(indices), updates, r, len(states)))
    row_of = {place: row for row, place in enumerate(there)}
    mine = [row_of[place] for place in places(len(indices), updates, rank, world)]
    rows = torch.tensor(mine, dtype=torch.long, device="cpu")
    whole = Rollout.joined([Rollout.from_state_dict(state["rollout"]) for state in states])
    rollout = whole.select(rows).trimmed().state_dict()
    return {"rollout": rollout, "indices": [indices[row] for row in mine], **common}

"""Agreement between processes, so that all of them make the same number of model calls.

A sharded policy (ZeRO-3, FSDP) gathers its parameters inside every forward: a process that calls it
once more than the others waits for ever.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


def agree_max(value: int, device: torch.device) -> int:
    """The largest ``value`` of all processes; ``value`` itself when there is only one."""
    if _alone():
        return value
    largest = torch.tensor(value, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


def agree_any(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` holds on any process."""
    return bool(agree_max(int(flag), device))


def gather_objects(mine: Any) -> list[Any]:
    """``mine`` of every process, in the order of their ranks."""
    if _alone():
        return [mine]
    gathered = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, mine)
    return gathered


def _alone() -> bool:
    return not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1

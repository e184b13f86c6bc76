"""Messages between processes: every collective of this package is in this file.

They keep in step: a sharded policy (ZeRO-3, FSDP) gathers its parameters inside every forward, and a
process that calls it once more than the others waits for ever.

NCCL sends nothing but what is on a GPU. Every function is therefore told the device that its process
trains on, and puts there what is sent; with one process nothing is sent, and no tensor is made. All
of them must be called while the strategy is set up: afterwards the process group may be gone, and the
weights are on the host.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_REDUCTIONS = {"sum": "SUM", "mean": "SUM", "max": "MAX"}  # gloo has no mean of its own


def world_size() -> int:
    """Processes that talk to one another."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def agree_max(value: int, device: torch.device) -> int:
    """The largest ``value`` of all processes; ``value`` itself when there is only one."""
    return int(reduce([value], "max", device, torch.int64)[0])


def agree_any(flag: bool, device: torch.device) -> bool:
    """True on all processes if ``flag`` is true on any; all must call it."""
    return bool(agree_max(int(flag), device))


def reduce(
    values: Sequence[float | Tensor], how: str, device: torch.device, dtype: torch.dtype = torch.float64
) -> list[float]:
    """``values`` of all processes, element by element: their "mean", "sum" or "max"."""
    mine = [float(value) for value in values]
    if world_size() == 1 or not mine:
        return mine
    total = torch.tensor(mine, device=device, dtype=dtype)
    dist.all_reduce(total, op=getattr(dist.ReduceOp, _REDUCTIONS[how]))
    return (total / world_size() if how == "mean" else total).tolist()


def gather(values: Tensor, device: torch.device) -> Tensor:
    """[processes, ...] ``values`` of all processes, in the order of their ranks; alike in shape and dtype."""
    mine = values.detach().to(device).contiguous()
    if world_size() == 1:
        return mine[None]
    parts = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(parts, mine)
    return torch.stack(parts)


def gather_objects(mine: Any, device: torch.device) -> list[Any]:
    """``mine`` of every process, in the order of their ranks.

    Tensors in it should be in the host's memory: others would come back on the GPU that they left, which
    belongs to another process.
    """
    if world_size() == 1:
        return [mine]
    gathered = [None] * world_size()
    with _current(device):
        dist.all_gather_object(gathered, mine)
    return gathered


def of_first(mine: Any, device: torch.device) -> Any:
    """Return what the first process has as ``mine``."""
    if world_size() == 1:
        return mine
    box = [mine]
    with _current(device):
        dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier(device: torch.device) -> None:
    """Wait until all processes are here."""
    if world_size() > 1:  # NCCL does it by a sum on a GPU, and guesses which if it isn't told
        dist.barrier(device_ids=[device.index] if device.type == "cuda" else None)


@contextmanager
def ended() -> Iterator[None]:
    """After this context processes are no longer connected; after an error, when the program ends.

    torch warns of a program that ends otherwise: its processes could go on waiting for one another.
    """
    try:
        yield
    except BaseException:
        atexit.register(disconnect)  # NCCL may wait for the others there: first the error should be told
        raise
    disconnect()


def disconnect() -> None:
    """End the connection of processes, if there is one; another may be made afterwards."""
    if not dist.is_available() or not dist.is_initialized():
        return
    engine = sys.modules.get("deepspeed.comm.comm")
    if engine is not None and engine.cdb is not None:
        engine.destroy_process_group()  # it has groups of its own to forget
    else:
        dist.destroy_process_group()


def _current(device: torch.device) -> Any:
    """Pickled objects are sent by way of the current GPU, whichever that is."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()

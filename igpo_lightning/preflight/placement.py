"""Meaning of ``hardware=`` for memory: how many processes there are, what they share, in which precision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
    StrategyRegistry,
)

from ..checks import ConfigError
from ..config import construct
from ..precision import precision_of
from ..sweeping.machine import device_count

_ASSUMED_DEVICES = 8  # where "all" is asked for and none is here: as in arXiv 2509.10396, section 4.1


@dataclass(frozen=True)
class Placement:
    """Placement of the parts of a training state."""

    strategy: str  # for people
    accelerator: str  # "gpu" or "cpu"
    devices: int  # processes of a node
    nodes: int = 1
    assumed: bool = False  # the number of devices was not given and could not be found out here
    # What is split over the processes, in ZeRO's terms (arXiv 1910.02054, section 5): 0 nothing,
    # 1 optimiser states, 2 gradients as well, 3 parameters as well.
    stage: int = 0
    buckets: int = 0  # gradients have a second copy of this many elements at most, for communication
    deepspeed: bool = False  # keeps float32 masters of what is trained, however it was loaded
    offload_optimizer: bool = False  # to the host's memory
    offload_parameters: bool = False
    cast: torch.dtype | None = None  # of all weights
    autocast: torch.dtype | None = None  # the lower precision of mixed-precision arithmetic

    @property
    def world(self) -> int:
        return self.devices * self.nodes

    @property
    def device(self) -> torch.device | None:
        """The kind of device that is asked for; None if there is none here."""
        if self.accelerator == "cpu":
            return torch.device("cpu")
        return torch.device("cuda") if torch.cuda.is_available() else None

    def shard(self, stage: int) -> int:
        """Number of processes that share what ZeRO splits from ``stage`` on."""
        return self.world if self.stage >= stage else 1


def place(hardware: Mapping[str, Any]) -> Placement:
    """The placement that a ``hardware`` config stands for.

    Raises:
        ConfigError: Unknown strategy or precision.
    """
    asked = hardware["accelerator"]
    on_gpu = asked in ("gpu", "cuda") or (asked == "auto" and torch.cuda.is_available())
    devices = device_count(hardware["devices"]) or (torch.cuda.device_count() if on_gpu else 1)
    strategy, precision = _strategy(hardware["strategy"]), precision_of(hardware)
    nodes, deepspeed = int(hardware.get("num_nodes", 1)), isinstance(strategy, DeepSpeedStrategy)
    autocasts = precision.mixed and not deepspeed  # DeepSpeed converts the weights whatever the name says
    lower = None if precision.dtype == torch.float32 else precision.dtype
    return Placement(
        accelerator="gpu" if on_gpu else "cpu",
        devices=devices or _ASSUMED_DEVICES,
        nodes=nodes,
        assumed=not devices,
        cast=None if autocasts else lower,
        autocast=lower if autocasts else None,
        **_sharing(strategy, (devices or _ASSUMED_DEVICES) * nodes),
    )


def _strategy(value: Any) -> Strategy | None:
    if not isinstance(value, str):
        return construct(value)
    if value == "auto":
        return None
    if value not in StrategyRegistry:
        names = ", ".join(sorted(StrategyRegistry.available_strategies()))
        raise ConfigError(f"hardware.strategy={value}: expected auto or one of {names}")
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")
    return StrategyRegistry.get(value)


def _sharing(strategy: Strategy | None, world: int) -> dict[str, Any]:
    if isinstance(strategy, DeepSpeedStrategy):
        config: Any = strategy.config
        zero = config["zero_optimization"]
        overlapping = 2 if zero.get("overlap_comm") else 1  # one bucket is filled while the other is sent
        return {
            "strategy": f"DeepSpeed ZeRO-{zero['stage']}",
            "deepspeed": True,
            "stage": int(zero["stage"]),
            "buckets": overlapping * int(zero.get("reduce_bucket_size", 0)),
            "offload_optimizer": bool(zero.get("offload_optimizer")),
            "offload_parameters": bool(zero.get("offload_param")),
        }
    if isinstance(strategy, FSDPStrategy):
        offload = bool(getattr(strategy.cpu_offload, "offload_params", False))
        stage = {"NO_SHARD": 0, "SHARD_GRAD_OP": 2}.get(strategy.sharding_strategy.name, 3)
        return {"strategy": "FSDP", "stage": stage, "offload_parameters": offload}
    if isinstance(strategy, ModelParallelStrategy):
        return {"strategy": "FSDP2", "stage": 3}
    if isinstance(strategy, DDPStrategy) or world > 1:
        return {"strategy": "DDP", "buckets": 2**62}
    return {"strategy": "one process"}

"""Placement of a run by ``hardware=``: number of processes, what they shard, and precision."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    Strategy,
    StrategyRegistry,
)

from ..checks import ConfigError
from ..precision import precision_of

_ASSUMED_DEVICES = 8  # where "all" is asked for and none is here: as in arXiv 2509.10396, section 4.1


@dataclass(frozen=True)
class Placement:
    """Placement of the parts of a training state.

    Attributes:
        strategy: Its name, for people.
        accelerator: "gpu" or "cpu".
        devices, nodes: Processes of a node, and nodes.
        assumed: The number of devices was not given and could not be found out here.
        stage: What is split over the processes, in ZeRO's terms (arXiv 1910.02054, section 5): 0 nothing,
            1 optimiser states, 2 gradients as well, 3 parameters as well.
        buckets: Gradients have a second copy of this many elements at most, for communication.
        deepspeed: Keeps float32 masters of what is trained, however it was loaded.
        offload_optimizer, offload_parameters: To the host's memory.
        cast: What all weights are converted to, or None.
        autocast: The lower precision of mixed-precision arithmetic, or None.
    """

    strategy: str
    accelerator: str
    devices: int
    nodes: int = 1
    assumed: bool = False
    stage: int = 0
    buckets: int = 0
    deepspeed: bool = False
    offload_optimizer: bool = False
    offload_parameters: bool = False
    cast: torch.dtype | None = None
    autocast: torch.dtype | None = None

    @property
    def world(self) -> int:
        return self.devices * self.nodes

    def shard(self, stage: int) -> int:
        """Number of processes that share what ZeRO splits from ``stage`` on."""
        return self.world if self.stage >= stage else 1


def place(hardware: Mapping[str, Any]) -> Placement:
    """The placement that a ``hardware`` config stands for.

    Raises:
        ConfigError: Unknown strategy or precision.
    """
    accelerator = "gpu" if hardware["accelerator"] in ("gpu", "cuda") or _finds_gpu(hardware) else "cpu"
    devices, assumed = _devices(hardware["devices"], accelerator)
    nodes = int(hardware.get("num_nodes", 1))
    strategy = _strategy(hardware["strategy"])
    cast, autocast = _precision(hardware, isinstance(strategy, DeepSpeedStrategy))
    common = {"accelerator": accelerator, "devices": devices, "nodes": nodes, "assumed": assumed}
    common |= {"cast": cast, "autocast": autocast}
    if isinstance(strategy, DeepSpeedStrategy):
        return Placement(**common, **_deepspeed(strategy.config["zero_optimization"]))
    if isinstance(strategy, FSDPStrategy):
        return Placement("FSDP", **common, **_fsdp(strategy))
    if isinstance(strategy, ModelParallelStrategy):
        return Placement("FSDP2", **common, stage=3)
    if isinstance(strategy, DDPStrategy) or devices * nodes > 1:
        return Placement("DDP", **common, buckets=2**62)
    return Placement("one process", **common)


def _finds_gpu(hardware: Mapping[str, Any]) -> bool:
    return hardware["accelerator"] == "auto" and torch.cuda.is_available()


def _devices(value: Any, accelerator: str) -> tuple[int, bool]:
    """(processes of a node, whether that is an assumption)."""
    if isinstance(value, str) and value not in ("auto", "-1"):
        indices = [part for part in value.split(",") if part.strip()]
        return (len(indices), False) if "," in value else (int(value), False)
    if value in ("auto", "-1", -1):
        here = torch.cuda.device_count() if accelerator == "gpu" else 1
        return (here, False) if here else (_ASSUMED_DEVICES, True)
    return (value, False) if isinstance(value, int) else (len(value), False)


def _strategy(value: Any) -> Strategy | None:
    if isinstance(value, str):
        if value == "auto":
            return None
        if value not in StrategyRegistry:
            names = ", ".join(sorted(StrategyRegistry.available_strategies()))
            raise ConfigError(f"hardware.strategy={value}: expected auto or one of {names}")
        os.environ.setdefault("DS_ACCELERATOR", "cpu" if not torch.cuda.is_available() else "cuda")
        return StrategyRegistry.get(value)
    return instantiate(value, _convert_="all")


def _precision(hardware: Mapping[str, Any], deepspeed: bool) -> tuple[torch.dtype | None, torch.dtype | None]:
    """(cast, autocast). DeepSpeed converts the weights whether the name says mixed or true."""
    precision = precision_of(hardware)
    if precision.dtype == torch.float32:
        return None, None
    return (None, precision.dtype) if precision.mixed and not deepspeed else (precision.dtype, None)


def _deepspeed(zero: Mapping[str, Any]) -> dict[str, Any]:
    stage = int(zero["stage"])
    overlapping = 2 if zero.get("overlap_comm") else 1  # one bucket is filled while the other is sent
    return {
        "strategy": f"DeepSpeed ZeRO-{stage}",
        "deepspeed": True,
        "stage": stage,
        "buckets": overlapping * int(zero.get("reduce_bucket_size", 0)),
        "offload_optimizer": bool(zero.get("offload_optimizer")),
        "offload_parameters": bool(zero.get("offload_param")),
    }


def _fsdp(strategy: FSDPStrategy) -> dict[str, Any]:
    sharding = strategy.sharding_strategy.name
    stage = {"NO_SHARD": 0, "SHARD_GRAD_OP": 2}.get(sharding, 3)
    return {
        "stage": stage,
        "offload_parameters": bool(getattr(strategy.cpu_offload, "offload_params", False)),
    }

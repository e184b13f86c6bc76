"""Settings of ``hardware``, split into those of Lightning's Trainer and those of PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from .checks import ConfigError, positive_int
from .config import construct


def check_gpus(hardware: Mapping[str, Any], others: str = "cpu or cpu_ddp") -> None:
    """Refuse hardware with GPUs where there is none.

    Args:
        hardware: The config group.
        others: Choices that need none.
    """
    on_mac = hardware["accelerator"] == "mps"
    found = torch.backends.mps.is_available() if on_mac else torch.cuda.is_available()
    if hardware["accelerator"] in ("gpu", "cuda", "mps") and not found:
        raise ConfigError(f"hardware: it asks for GPUs, and there is none here; choose hardware={others}")


def use_threads(hardware: DictConfig) -> None:
    """Give PyTorch its threads; ``hardware.threads: null`` leaves it as many as it finds cores."""
    if (threads := hardware.get("threads")) is not None:
        torch.set_num_threads(positive_int("hardware.threads", threads))


def trainer_options(hardware: DictConfig) -> dict[str, Any]:
    """The keyword arguments of Lightning's Trainer."""
    options = construct(hardware)
    options.pop("threads", None)
    return options


def peak_memory(device: torch.device) -> int:
    """Bytes of tensors on a GPU, most since :func:`forget_peak_memory`; on a CPU, what the process holds."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if (status := Path("/proc/self/statm")).exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # there is no cheap way to the present one
    return peak if sys.platform == "darwin" else 1024 * peak


def forget_peak_memory(device: torch.device) -> None:
    """Begin anew to look for the most memory of a GPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

"""Settings of ``hardware``, split into those of Lightning's Trainer and those of PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig

from .checks import positive_int
from .config import construct


def use_threads(hardware: DictConfig) -> None:
    """Give PyTorch its threads; ``hardware.threads: null`` leaves it as many as it finds cores."""
    if (threads := hardware.get("threads")) is not None:
        torch.set_num_threads(positive_int("hardware.threads", threads))


def trainer_options(hardware: DictConfig) -> dict[str, Any]:
    """The keyword arguments of Lightning's Trainer."""
    options = construct(hardware)
    options.pop("threads", None)
    return options

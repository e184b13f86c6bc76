"""Header of a stage: its model, device, data and folder, printed when it starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn


def header(
    trainer: Any,
    pl_module: nn.Module,
    stage: str | None = None,
    model: str | None = None,
    data: str | None = None,
) -> str:
    """A few lines: stage, model with its parameters, device, data, folder. What is None is left out."""
    describe = getattr(trainer.datamodule, "describe", None)
    rows: list[tuple[str, list[str | None]]] = [
        ("stage", [stage]),
        ("model", [model, parameters(pl_module.parameters())]),
        ("device", [*devices(trainer), str(trainer.precision)]),
        ("data", [data, describe() if describe else None]),
        ("folder", [trainer.default_root_dir]),
        ("online", [_page(logger) for logger in trainer.loggers]),
    ]
    said = ((name, ", ".join(part for part in parts if part)) for name, parts in rows)
    return "\n".join(f"{name:<7} {text}" for name, text in said if text)


def parameters(weights: Iterable[nn.Parameter]) -> str:
    """Count the weights over all processes, and those of them that are trained."""
    weights = list(weights)
    total = sum(map(_size, weights))
    trained = sum(_size(weight) for weight in weights if weight.requires_grad)
    if trained == total:
        return f"{quantity(total)} parameters, all trained"
    return f"{quantity(trained)} of {quantity(total)} parameters trained"


def devices(trainer: pl.Trainer) -> Iterable[str]:
    """The device by its name, and how many processes have one like it."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        yield torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        threads = torch.get_num_threads()
        yield f"CPU with {threads} thread{'s' * (threads > 1)}"
    else:
        yield str(device)
    if trainer.num_nodes > 1:
        yield f"{trainer.world_size} processes on {trainer.num_nodes} nodes"
    else:
        yield f"{trainer.world_size} process{'es' * (trainer.world_size > 1)}"


def quantity(count: int) -> str:
    """``156,352``, ``42.0M``, ``8.35B``."""
    if count < 1_000_000:
        return f"{count:,}"
    return f"{count / 1e6:.3g}M" if count < 999_500_000 else f"{count / 1e9:.3g}B"


def _page(logger: Any) -> str | None:
    """Where a logger shows its run; on processes but the first, a logger's experiment answers anything."""
    url = getattr(getattr(logger, "experiment", None), "url", None)
    return url if isinstance(url, str) else None


def _size(weight: Any) -> int:
    """Elements of the whole weight: ZeRO-3 leaves an empty one, and FSDP2 counts the whole by itself."""
    return int(getattr(weight, "ds_numel", weight.numel()))

"""Check of ``hardware.precision``: what works where, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import get_class
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy

from .checks import ConfigError, choice


@dataclass(frozen=True)
class Precision:
    """Meaning of one of Lightning's names.

    Attributes:
        dtype: In which the network computes.
        mixed: By autocast, over weights in float32; otherwise the weights themselves are cast.
        deepspeed, fsdp2: Whether these strategies of Lightning take it.
    """

    dtype: torch.dtype
    mixed: bool = False
    deepspeed: bool = True
    fsdp2: bool = True


PRECISIONS = {
    "32-true": Precision(torch.float32),
    "bf16-mixed": Precision(torch.bfloat16, mixed=True),
    "bf16-true": Precision(torch.bfloat16),
    "16-mixed": Precision(torch.float16, mixed=True, fsdp2=False),
    "16-true": Precision(torch.float16),
    "64-true": Precision(torch.float64, deepspeed=False, fsdp2=False),
}


def precision_of(hardware: Mapping[str, Any]) -> Precision:
    """Look up what ``hardware.precision`` stands for.

    Raises:
        ConfigError: It is none that this package is made for. (Lightning's transformer-engine puts other
            linear layers in the place of those that adapters and checkpoints know.)
    """
    return PRECISIONS[choice("hardware.precision", hardware["precision"], *PRECISIONS)]


def check_precision(hardware: Mapping[str, Any], *, trains: bool) -> str | None:
    """Refuse a precision that would fail later, or train nothing.

    Args:
        hardware: The config group.
        trains: Whether weights will be updated.

    Returns:
        What a user should know of one that is allowed, or None.

    Raises:
        ConfigError: It names what would work.
    """
    key, precision = f"hardware.precision={hardware['precision']}", precision_of(hardware)
    deepspeed, fsdp2 = (_is(hardware["strategy"], *kind) for kind in _KINDS)
    if precision.dtype == torch.float16 and not _on_gpu(hardware):
        raise ConfigError(f"{key}: float16 needs a GPU; take 32-true or bf16-mixed")
    if (deepspeed and not precision.deepspeed) or (fsdp2 and not precision.fsdp2):
        takes = [n for n, p in PRECISIONS.items() if (p.deepspeed if deepspeed else p.fsdp2)]
        name = "DeepSpeed" if deepspeed else "FSDP"
        raise ConfigError(f"{key}: {name} does not offer it; take one of {', '.join(takes)}")
    if not trains or deepspeed or precision.mixed:  # DeepSpeed trains float32 copies
        return None
    if precision.dtype == torch.float16:
        raise ConfigError(
            f"{key}: weights would be trained in float16, where the epsilon of AdamW (1e-8) is 0 and small "
            "gradients vanish; take bf16-mixed or 16-mixed, which keep them in float32"
        )
    if precision.dtype == torch.bfloat16:
        return (
            f"{key}: weights are trained in bfloat16, which keeps three digits: at learning rates like 5e-7 "
            "next to none of them changes; bf16-mixed keeps them in float32"
        )
    return None


def splits_model(hardware: Mapping[str, Any]) -> bool:
    """True if ``hardware.strategy`` spreads weights, gradients or their optimizer over devices."""
    return any(_is(hardware["strategy"], *kind) for kind in (*_KINDS, (FSDPStrategy, "fsdp")))


_KINDS = ((DeepSpeedStrategy, "deepspeed"), (ModelParallelStrategy, "model_parallel"))


def _is(strategy: Any, kind: type, name: str) -> bool:
    """Whether a ``hardware.strategy`` is of this class, or of Lightning's name for it."""
    if isinstance(strategy, Mapping):
        return issubclass(get_class(strategy["_target_"]), kind)
    return str(strategy).startswith(name)


def _on_gpu(hardware: Mapping[str, Any]) -> bool:
    return hardware["accelerator"] != "cpu" and (
        hardware["accelerator"] not in ("auto", None) or torch.accelerator.is_available()
    )

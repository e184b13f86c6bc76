"""The optimiser of the configs: AdamW, in one kernel where the parameters are on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ..checks import ConfigError


class AdamW(torch.optim.AdamW):
    """torch's AdamW whose kernel follows the device of its parameters.

    A fused step reads and writes each weight and moment once, and makes no temporary copies of them. Its
    state is that of any AdamW: a checkpoint goes on on another device with the kernel of that one.

    Args:
        params: Parameters, or groups of them.
        lr, betas, eps, weight_decay: As of :class:`torch.optim.AdamW`.
        fused: Whether a step is one kernel; None: where all parameters are on GPUs and no engine
            (DeepSpeed) is going to put others in their place.
        **options: Its others.

    Raises:
        ConfigError: ``fused`` is neither true, false nor null.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        fused: bool | None = None,
        **options: Any,
    ):
        if fused not in (True, False, None):
            raise ConfigError(f"algo.optimizer.fused={fused}: expected true, false or null")
        groups = list(params)
        self.follows_device = fused is None
        fuses = _on_gpus(groups) if fused is None else fused
        # None, not False, which would also take away torch's own choice of a step for all parameters at once.
        super().__init__(groups, lr, betas, eps, weight_decay, fused=fuses or None, **options)
        # Lightning takes it for a sign that a step unscales gradients by itself, and refuses to clip them.
        # It unscales before it clips, so that a step never has to.
        self._step_supports_amp_scaling = False

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state, and go on with this optimiser's own kernel: its counters stand on its device."""
        kernel = {name: self.param_groups[0][name] for name in ("fused", "foreach")}
        groups = [{**group, **kernel} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})


def _on_gpus(groups: list[Any]) -> bool:
    parameters: list[nn.Parameter] = []
    for group in groups:
        parameters += group["params"] if isinstance(group, Mapping) else [group]
    return bool(parameters) and all(p.device.type == "cuda" and not hasattr(p, "ds_id") for p in parameters)

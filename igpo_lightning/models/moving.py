"""A reference that follows the policy: a copy of what is trained, which takes its place for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingReference:
    """Frozen float32 copies of a network's trained weights: of its adapter, if it has one, else of all.

    They are kept out of the module tree: the optimiser, gradient reduction and a checkpoint's weights do not
    see them. Float32, as a small step towards the policy would be rounded away in fewer bits.

    Args:
        model: The network; its present weights are copied.
    """

    def __init__(self, model: nn.Module):
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().to(torch.float32, copy=True) for name, parameter in _trained(model)
        }

    @torch.no_grad()
    def move(self, model: nn.Module, alpha: float) -> None:
        """Copy ← alpha · policy + (1 - alpha) · copy; an alpha of 1 copies the policy's weights."""
        for name, parameter in _trained(model):
            copy = self._on(name, parameter.device)
            copy.lerp_(parameter.to(torch.float32), alpha)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """Within this context ``model`` computes with the copies.

        Parameters themselves are exchanged, not their data: autocast keeps a lower-precision copy of a
        parameter for as long as its context lasts, and would go on with that of the policy.
        """
        names = {id(parameter): name for name, parameter in _trained(model)}
        places = [
            (module, key, parameter)
            for module in model.modules()
            for key, parameter in module._parameters.items()
            if parameter is not None and id(parameter) in names
        ]
        held = {
            id(parameter): nn.Parameter(
                self._on(names[id(parameter)], parameter.device).to(parameter.dtype), requires_grad=False
            )
            for _, _, parameter in places
        }
        try:
            for module, key, parameter in places:
                module._parameters[key] = held[id(parameter)]  # tied weights stay one
            yield
        finally:
            for module, key, parameter in places:
                module._parameters[key] = parameter

    def state_dict(self) -> dict[str, Tensor]:
        """The copies, in the host's memory."""
        return {name: copy.cpu() for name, copy in self.weights.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take saved copies, of the same names."""
        self.weights = {name: state[name].to(torch.float32, copy=True) for name in self.weights}

    def _on(self, name: str, device: torch.device) -> Tensor:
        self.weights[name] = self.weights[name].to(device)
        return self.weights[name]


def _trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]

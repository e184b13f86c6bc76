"""Floating-point operations of what the model computes, and the rate of plain products of its shapes.

Counted as 2 · (weights that a token meets) a token, plus 4 · keys · width of attention a token and layer,
plus 2 · H · V a position that reaches the output head. A backward pass is as much again for the inputs, and
as much again for the weights that are trained; what gradient checkpointing computes twice is counted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from ..models import Policy


@dataclass(frozen=True)
class Shapes:
    """Sizes of a network, as far as its operations depend on them.

    Attributes:
        matrices: (outputs, inputs) of the linear maps of one layer, adapters included.
        layers: Their number.
        attention: Heads times their dimension.
        trained: Weights of the matrices of one layer that are trained.
        head: (V, H) of the output head.
        head_trained: Whether it is trained.
    """

    matrices: tuple[tuple[int, int], ...]
    layers: int
    attention: int
    trained: int
    head: tuple[int, int]
    head_trained: bool

    @classmethod
    def of(cls, network: Any) -> Shapes:
        """The sizes of a ``*ForCausalLM``, with or without adapters in it."""
        layers, head = network.model.layers, network.lm_head
        linear = [module for module in layers[0].modules() if _is_linear(module)]
        config = network.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            matrices=tuple((m.out_features, m.in_features) for m in linear),
            layers=len(layers),
            attention=config.num_attention_heads * width,
            trained=sum(m.out_features * m.in_features for m in linear if m.weight.requires_grad),
            head=(head.out_features, head.in_features),
            head_trained=any(weight.requires_grad for weight in head.parameters()),
        )

    @property
    def weights(self) -> int:
        """Weights of one layer that every token meets."""
        return sum(rows * columns for rows, columns in self.matrices)

    def forward(self, tokens: int, keys: int) -> int:
        """Operations of so many tokens through all layers, each seeing ``keys`` columns."""
        return self.layers * tokens * (2 * self.weights + 4 * keys * self.attention)

    def backward(self, tokens: int, keys: int) -> int:
        """Those of their backward pass."""
        return self.forward(tokens, keys) + self.layers * tokens * (
            2 * self.trained + 4 * keys * self.attention
        )

    def scoring(self, positions: int, grad: bool) -> int:
        """Those of the output head at so many positions, with their backward pass if there is one."""
        passes = 1 + grad * (1 + self.head_trained)
        return 2 * passes * positions * self.head[0] * self.head[1]


class Counter:
    """Counts the operations of all that a network computes while it is watched.

    Attributes:
        operations: So far.
        rows, tokens: That went through the network, summed over its calls; those that are computed again for
            a backward pass are not in it.
        positions: That reached the output head.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.operations = self.rows = self.tokens = self.positions = self._widest = 0

    @contextmanager
    def watching(self, policy: Policy) -> Iterator[None]:
        """Within this context what ``policy`` computes is counted, also where its layers are compiled."""
        networks = {id(policy.network): policy.network}
        if policy.keeps_reference:
            with policy.reference() as frozen:  # the same network without its adapters, or a copy
                networks[id(frozen.network)] = frozen.network
        # A layer's hooks run outside of its compiled forward.
        hooks = [
            hook
            for network in networks.values()
            for hook in (
                network.model.layers[0].register_forward_pre_hook(self._layer, with_kwargs=True),
                network.lm_head.register_forward_pre_hook(self._head),
            )
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _layer(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        if _in_backward():
            return
        tokens = hidden.shape[:-1].numel()
        # With cached keys only some columns run, but these see all of the canvas, which has run whole before.
        self._widest = max(self._widest, hidden.shape[-2])
        self.rows, self.tokens = self.rows + len(hidden), self.tokens + tokens
        self.operations += self.shapes.forward(tokens, self._widest)
        if torch.is_grad_enabled():
            self.operations += self.shapes.backward(tokens, self._widest)

    def _head(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if _in_backward():
            return
        positions = args[0].shape[:-1].numel()
        self.positions += positions
        self.operations += self.shapes.scoring(positions, torch.is_grad_enabled())


def plain_rate(shapes: Shapes, rows: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of plain matrix products of one layer's shapes with ``rows`` tokens.

    Args:
        rows: Tokens that go through together.
        dtype, device: Of the factors.
    """
    # What is multiplied does not matter, but for zeros: a GPU draws less power on them, and is faster.
    pairs = [
        [
            torch.arange(n * inputs, dtype=torch.float32, device=device).cos_().to(dtype).view(n, inputs)
            for n in (rows, outputs)
        ]
        for outputs, inputs in shapes.matrices
    ]
    timer = Timer(
        "for left, right in pairs: left @ right.T",
        globals={"pairs": pairs},
        num_threads=torch.get_num_threads(),
    )
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        taken = timer.blocked_autorange()
    return 2 * rows * shapes.weights / taken.mean


def _is_linear(module: Any) -> bool:
    """True for a linear map itself, and not for a layer of peft that holds some."""
    whole = hasattr(module, "in_features") and hasattr(module, "out_features")
    return whole and not any(hasattr(inner, "in_features") for inner in list(module.modules())[1:])


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1

"""Memory of a computation, in bytes, found by running it on tensors that have shapes but no data.

Activation memory is usually written as a formula in layers, width and heads (Korthikanti et al., arXiv
2205.05198, section 4: a block of width h keeps s·b·h·(34 + 5·a·s/h) bytes for s tokens of b rows with a
heads). Its constants belong to one architecture in one precision: SDPA drops the 5·a·s/h, a gated MLP,
LoRA, autocast and activation checkpointing each change the 34. What stays true is its shape, linear in
layers and in tokens. So the constants are read off here: the real network, two and three blocks of it,
runs forward and backward on fake tensors while every live byte is counted, and the difference is what
one more block costs.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ..models.head import chunked_scores
from ..models.skeleton import Skeleton
from .work import CountingPolicy, of_sampling

_FEW = (2, 3)  # blocks of the two traced networks; with one, the first block's input would weigh double
_VOCABULARY = 4096  # wide enough that logits outweigh all that a sampler keeps for itself


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors made within the context and not yet freed.

    Attributes:
        now: Bytes alive.
        peak: The most that were alive at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_key(t) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, Tensor) and _key(tensor) not in given:  # else a view, or in place
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        if key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = weakref.finalize(storage, self._drop, key, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        self._known.pop(key, None)
        self.now -= size


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@dataclass(frozen=True)
class _Input:
    """Shape of a canvas, and whether prompts in it are padded."""

    rows: int
    columns: int
    padded: bool


def forward_bytes(
    skeleton: Skeleton, rows: int, columns: int, *, autocast: torch.dtype | None, padded: bool = True
) -> int:
    """Most bytes that a forward without gradient needs besides the weights; no output head."""
    return _by_depth(
        skeleton, lambda network: _forward_peak(network, _Input(rows, columns, padded), autocast)
    )


def training_bytes(
    skeleton: Skeleton, rows: int, columns: int, *, autocast: torch.dtype | None, padded: bool = True
) -> int:
    """Most bytes that a forward and its backward need besides weights and gradients; no output head.

    Args:
        skeleton: The network; with its gradient checkpointing, if it has it on.
        rows, columns: Shape of the canvas.
        autocast: The lower precision that Lightning's mixed precision runs in, or None.
        padded: Whether there is an attention mask. Without one, heads that share keys and values are
            traced as if they did not, which is up to 8 % too much.
    """
    return _by_depth(
        skeleton, lambda network: _training_peak(network, _Input(rows, columns, padded), autocast)
    )


def scoring_bytes(
    skeleton: Skeleton, positions: int, targets: int, *, trained: bool, autocast: torch.dtype | None
) -> int:
    """Most bytes that the output head needs to score ``targets`` tokens at each of ``positions``.

    Forward and backward, as :func:`igpo_lightning.models.head.chunked_scores` does it.
    """
    config, dtype = skeleton.config, skeleton.hidden_dtype
    with torch.device("meta"):
        head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, dtype=dtype)
    head.requires_grad_(trained)
    with _faked(head):
        if trained:
            head.weight.grad = torch.zeros_like(head.weight)
        hidden = torch.empty(positions, config.hidden_size, dtype=dtype, device="cpu", requires_grad=True)
        ids = torch.zeros(positions, targets, dtype=torch.long, device="cpu")
        with LiveBytes() as live, _lower(autocast):
            chunked_scores(head, hidden, ids).logps.sum().backward()
    return live.peak


def sampling_bytes_per_logit(sampler, dtype: torch.dtype) -> float:
    """Most bytes that a sampler holds for each logit of a block, itself included.

    Measured on a policy of a small vocabulary that only counts; a logit is one entry of one position.
    """
    policy = CountingPolicy(_VOCABULARY, dtype)
    with LiveBytes() as live:
        of_sampling(sampler, policy)
    return live.peak / (policy.calls.largest * _VOCABULARY)


def _by_depth(skeleton: Skeleton, peak: Any) -> int:
    """``peak`` of the whole network, from shallow ones if it is deep."""
    depth, (few, more) = skeleton.layers, _FEW
    if depth <= more:
        return peak(skeleton.network(vocabulary=1))
    low, high = (peak(skeleton.network(layers=n, vocabulary=1)) for n in (few, more))
    return low + (depth - few) * (high - low)


def _forward_peak(network: nn.Module, given: _Input, autocast: torch.dtype | None) -> int:
    with _faked(network), torch.no_grad(), LiveBytes() as live:
        _hidden(network, given, autocast)
    return live.peak


def _training_peak(network: nn.Module, given: _Input, autocast: torch.dtype | None) -> int:
    network.train()
    with _faked(network):
        for parameter in network.parameters():
            if parameter.requires_grad:  # gradients are counted elsewhere: only what is added to them, here
                parameter.grad = torch.zeros_like(parameter)
        with LiveBytes() as live:
            _hidden(network, given, autocast).sum().backward()
    return live.peak


def _hidden(network: nn.Module, given: _Input, autocast: torch.dtype | None) -> Tensor:
    tokens = torch.zeros(given.rows, given.columns, dtype=torch.long, device="cpu")
    mask = torch.ones_like(tokens, dtype=torch.bool) if given.padded else None
    with _lower(autocast):
        return network.model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state


def _lower(autocast: torch.dtype | None) -> torch.autocast:
    return torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None)


@contextmanager
def _faked(network: nn.Module) -> Iterator[None]:
    """Within it, ``network`` (made on the meta device) has fake CPU weights, and new tensors are fake."""
    made: dict[int, Tensor] = {}  # by identity, so that tied weights stay tied
    with FakeTensorMode():
        for module in network.modules():
            for table in (module._parameters, module._buffers):
                for name, old in table.items():
                    if old is None:
                        continue
                    if id(old) not in made:
                        made[id(old)] = _fake_like(old)
                    table[name] = made[id(old)]
        yield


def _fake_like(old: Tensor) -> Tensor:
    fake = torch.empty(old.shape, dtype=old.dtype, device="cpu")
    return nn.Parameter(fake, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else fake

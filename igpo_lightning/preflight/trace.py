"""Memory and work of a computation, read off a run of it on tensors that have shapes but no data.

Blocks are alike, so one and two of them tell what any number takes. Tests hold the bytes against torch's
profiler. (torch.distributed._tools.mem_tracker.MemTracker counts the same, but takes tens of seconds for
two blocks with adapters, and refuses parameters that are frozen.)
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from ..models.head import chunked_scores
from ..models.skeleton import Skeleton


class Tracer(TorchDispatchMode):
    """Follows all tensors that are made within the context.

    Attributes:
        now, peak: Bytes alive, and the most that were alive at once.
        flops: Floating-point operations of matrix products; attention's own, 1 to 2 % more, are not in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flops = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {_key(t) for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        for tensor in tree_iter(out):
            if (
                isinstance(tensor, Tensor) and _key(tensor) not in given | self._known
            ):  # no view, not in place
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage, key = tensor.untyped_storage(), _key(tensor)
        self._known.add(key)
        weakref.finalize(storage, self._drop, key, storage.nbytes())
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@dataclass(frozen=True)
class Pass:
    """Bytes that a pass through all blocks needs at most besides weights and gradients, and its FLOPs."""

    bytes: int
    flops: int


def blocks(
    skeleton: Skeleton, rows: int, columns: int, autocast: torch.dtype | None, padded: bool, grad: bool
) -> Pass:
    """A pass through all blocks of a network, without its output head.

    Args:
        skeleton: The network, in the mode (train or eval) that it would run in.
        rows, columns: Shape of the canvas.
        autocast: The lower precision that Lightning's mixed precision runs in, or None.
        padded: Whether there is an attention mask. Without one, heads that share keys and values are
            traced as if they did not, which is up to 8 % too much.
        grad: Whether a backward pass follows.
    """
    one = _few_blocks(skeleton, 1, rows, columns, autocast, padded, grad)
    if not grad:  # then nothing of a block is kept
        return Pass(one.peak, one.flops * skeleton.layers)
    two = _few_blocks(skeleton, 2, rows, columns, autocast, padded, grad)
    more = skeleton.layers - 1
    return Pass(one.peak + more * (two.peak - one.peak), one.flops + more * (two.flops - one.flops))


def _few_blocks(skeleton, layers, rows, columns, autocast, padded, grad) -> Tracer:
    network = skeleton.network(layers=layers, vocabulary=1)
    with FakeTensorMode():
        for module in network.modules():
            for name, weight in module.named_parameters(recurse=False):
                fake = nn.Parameter(_like(weight), weight.requires_grad)
                fake.grad = _like(weight) if weight.requires_grad else None  # it is counted elsewhere
                module._parameters[name] = fake
            for name, buffer in module.named_buffers(recurse=False):
                module._buffers[name] = _like(buffer)
        tokens = torch.zeros(rows, columns, dtype=torch.long, device="cpu")
        mask = torch.ones_like(tokens, dtype=torch.bool) if padded else None
        with Tracer() as tracer, torch.set_grad_enabled(grad):
            with lower(autocast):
                hidden = network.model(input_ids=tokens, attention_mask=mask, use_cache=False)[0]
            if grad:
                hidden.sum().backward()
    return tracer


def scores(
    skeleton: Skeleton,
    positions: int,
    targets: int,
    trained: bool,
    autocast: torch.dtype | None,
    chunk_logits: int | None = None,
) -> int:
    """Most bytes of the output head while it scores ``targets`` tokens at each of ``positions``, and of
    its backward pass, with so many logits at once."""
    config = skeleton.config
    with FakeTensorMode(), torch.device("cpu"):
        head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, dtype=skeleton.hidden_dtype)
        head.requires_grad_(trained)
        head.weight.grad = torch.zeros_like(head.weight) if trained else None
        shape, cpu = (positions, config.hidden_size), torch.device("cpu")
        hidden = torch.zeros(shape, dtype=skeleton.hidden_dtype, device=cpu, requires_grad=True)
        ids = torch.zeros(positions, targets, dtype=torch.long, device=cpu)
        with Tracer() as tracer:
            with lower(autocast):
                logps = chunked_scores(head, hidden, ids, chunk_logits=chunk_logits).logps
            logps.sum().backward()
    return tracer.peak


def lower(autocast: torch.dtype | None, device: str = "cpu") -> torch.autocast:
    """Mixed precision as Lightning has it, which keeps no converted weights."""
    return torch.autocast(device, autocast or torch.bfloat16, autocast is not None, cache_enabled=False)


def _like(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")

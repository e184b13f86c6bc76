"""Seconds per model call, measured on this machine.

A small model is timed as it is. A large one is not built: a few blocks of its real width are, with
constants for weights, and time is taken to be linear in blocks, rows, and the entries of the vocabulary.
On a CPU also in columns: at widths of thousands attention is 1 to 2 % of a block's products.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..models.head import chunked_scores
from ..models.skeleton import Skeleton
from .placement import Placement
from .work import CountingPolicy, Load, of_sampling

_BLOCKS = (1, 2)
_VOCABULARY = 4096  # entries of the head that are timed
_POSITIONS = 128  # of the head
_PROBE = 0.5  # seconds; a batch that takes longer is not doubled any more
_SLOW = 1.0  # seconds; what takes longer is timed once
_WIDE, _COLUMNS = 1024, 64  # on a CPU, blocks of this width or more see so many columns
_MEMORY_SHARE = 0.25  # of the free memory of a GPU, at most, for the rows of a timed batch


@dataclass(frozen=True)
class Pass:
    """Time of one kind of pass: forward, or forward and backward.

    Attributes:
        row: Seconds of a canvas through all blocks.
        position: Seconds of a position in the output head, with what follows it.
        rows, columns: Of the batch that was timed.
    """

    row: float
    position: float
    rows: int
    columns: int

    def seconds(self, load: Load) -> float:
        """Of the whole run."""
        return load.times * (load.calls.rows * self.row + load.calls.positions * self.position)


class Stopwatch:
    """Times functions on a device.

    Args:
        device: Waits for it before and after.
    """

    def __init__(self, device: torch.device):
        self.device = device

    def __call__(self, function: Callable[[], object], repeats: int = 2) -> float:
        """The fastest of ``repeats`` calls, after one that does not count; of one, if that took long."""
        slow = self.once(function) > _SLOW
        return min(self.once(function) for _ in range(1 if slow else repeats))

    def once(self, function: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        function()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def device_of(placement: Placement) -> torch.device:
    """Device that times are measured on: of the kind that the run asks for, if there is one here."""
    return torch.device("cuda" if placement.accelerator == "gpu" and torch.cuda.is_available() else "cpu")


def measure(skeleton: Skeleton, placement: Placement, loads: list[Load], sampler) -> dict[bool, Pass]:
    """Passes without and with a backward, for the shapes of ``loads``."""
    bench = _Bench(skeleton, placement)
    passes = {}
    for grad in (False, True):
        same = [load for load in loads if load.grad == grad]
        if same:
            columns = max(load.columns for load in same)
            wanted = max(-(-load.calls.rows // load.calls.forwards) for load in same)
            head = bench.scoring() if grad else bench.sampling(sampler)
            passes[grad] = replace(bench.blocks(columns, wanted, grad), position=head)
    return passes


class _Bench:
    """A few blocks of a network, and a slice of its head, on the device."""

    def __init__(self, skeleton: Skeleton, placement: Placement):
        self.skeleton, self.autocast = skeleton, placement.autocast
        self.device = device_of(placement)
        self.watch = Stopwatch(self.device)
        self.dtype = placement.autocast or skeleton.hidden_dtype

    def blocks(self, columns: int, wanted: int, grad: bool) -> Pass:
        """Seconds of a row through all blocks; nothing of the head yet."""
        few, more = (self._network(n) for n in _BLOCKS)
        wide = self.skeleton.config.hidden_size >= _WIDE and self.device.type == "cpu"
        seen = min(columns, _COLUMNS) if wide else columns
        rows = self._rows(few, seen, wanted, grad)
        low, high = (self.watch(self._step(network, rows, seen, grad)) for network in (few, more))
        block = max(high - low, 0.0) / (_BLOCKS[1] - _BLOCKS[0])
        total = max(low - block * _BLOCKS[0], 0.0) + block * self.skeleton.layers
        return Pass(row=total / rows * columns / seen, position=0.0, rows=rows, columns=seen)

    def scoring(self) -> float:
        """Seconds of a position whose token is scored, forward and backward."""
        head, hidden = self._head()
        hidden.requires_grad_()
        ids = torch.zeros(_POSITIONS, dtype=torch.long, device=self.device)

        def step() -> None:
            with self._lower():
                scores = chunked_scores(head, hidden, ids)
            scores.logps.sum().backward()

        return self._per_position(self.watch(step))

    def sampling(self, sampler) -> float:
        """Seconds of a position whose token is drawn: its logits, and what the sampler does with them."""
        head, hidden = self._head()
        with torch.no_grad(), self._lower():
            logits = self._per_position(self.watch(lambda: head(hidden)))
        policy = CountingPolicy(_VOCABULARY).to(self.device)
        draws = self.watch.once(lambda: of_sampling(sampler, policy)) / policy.calls.positions * self._scale
        return logits + draws

    @property
    def _scale(self) -> float:
        return self.skeleton.config.vocab_size / _VOCABULARY

    def _per_position(self, seconds: float) -> float:
        return seconds / _POSITIONS * self._scale

    def _head(self) -> tuple[nn.Linear, torch.Tensor]:
        width = self.skeleton.config.hidden_size
        options = {"dtype": self.skeleton.hidden_dtype, "device": self.device}
        head = nn.Linear(width, _VOCABULARY, bias=False, **options)
        return head.requires_grad_(not self.skeleton.lora), torch.ones(_POSITIONS, width, **options)

    def _network(self, layers: int) -> nn.Module:
        return self.skeleton.network(layers=layers, vocabulary=8, device=self.device).train()

    def _rows(self, network: nn.Module, columns: int, wanted: int, grad: bool) -> int:
        """The largest batch up to ``wanted`` that is quick and small enough."""
        rows = 1
        while rows < wanted and self._has_room(2 * rows, columns):
            if self.watch(self._step(network, rows, columns, grad), repeats=1) > _PROBE:
                break
            rows = min(2 * rows, wanted)
        return rows

    def _has_room(self, rows: int, columns: int) -> bool:
        """Whether so many rows fit, taking 64 numbers of float32 per token and width for a block."""
        if self.device.type != "cuda":
            return True  # time runs out long before memory does
        need = rows * columns * self.skeleton.config.hidden_size * 64 * 4
        return need < _MEMORY_SHARE * torch.cuda.mem_get_info(self.device)[0]

    def _step(self, network: nn.Module, rows: int, columns: int, grad: bool) -> Callable[[], None]:
        tokens = torch.ones(rows, columns, dtype=torch.long, device=self.device)

        def step() -> None:
            with torch.set_grad_enabled(grad), self._lower():
                hidden = network.model(input_ids=tokens, use_cache=False).last_hidden_state
            if grad:
                hidden.sum().backward()

        return step

    @contextmanager
    def _lower(self) -> Iterator[None]:
        with torch.autocast(
            self.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None
        ):
            yield

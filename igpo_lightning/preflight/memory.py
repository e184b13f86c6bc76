"""Bytes that one process needs, part by part.

What stays for the whole run (weights, gradients, optimiser states) follows from the parameters and from
what ZeRO splits. With Ψ trained and Φ frozen parameters on N processes, in bfloat16 with Adam (Rajbhandari
et al., arXiv 1910.02054, sections 3.1 and 5, there with Φ = 0 and without the float32 gradients, which
DeepSpeed makes for its step):

    one process, DDP   weights, gradients and states of what is trained in float32, the rest as loaded
    ZeRO-1             2(Φ + Ψ) weights, 2Ψ gradients; (4 + 8 + 4)Ψ / N masters, states, float32 gradients
    ZeRO-2             2(Φ + Ψ) + 2Ψ / N + 16Ψ / N
    ZeRO-3             2(Φ + Ψ) / N + 2Ψ / N + 16Ψ / N, and the largest layer with its gradient

What comes and goes (activations, logits) is traced: see :mod:`igpo_lightning.preflight.trace`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from ..models.skeleton import Skeleton
from .placement import Placement

_FLOAT = 4  # bytes of float32


@dataclass(frozen=True)
class Part:
    """Something that takes memory."""

    name: str
    bytes: int
    host: bool = False  # in the host's memory instead of the device's


@dataclass(frozen=True)
class Phase:
    """Memory that a part of the run needs for a while; ``key`` names the setting that makes it smaller."""

    name: str
    parts: tuple[Part, ...]
    key: str

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


@dataclass(frozen=True)
class Memory:
    """States stay; of the phases only one is on at a time."""

    states: tuple[Part, ...]
    phases: tuple[Phase, ...]

    @property
    def largest(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def standing(self) -> int:
        return sum(part.bytes for part in self.states if not part.host)

    @property
    def peak(self) -> int:
        return self.standing + (self.largest.bytes if self.phases else 0)

    @property
    def host(self) -> int:
        return sum(part.bytes for part in self.states if part.host)


def states(
    model: nn.Module,
    skeleton: Skeleton,
    make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    placement: Placement,
    keeps_copy: bool,
) -> tuple[Part, ...]:
    """Memory that is held from the first update on.

    Args:
        model: On the meta device, in the dtypes of the run.
        skeleton: What it was made from.
        make_optimizer: trained parameters → optimiser.
        placement: Who holds which share.
        keeps_copy: Whether the KL reference is a copy of the weights rather than the frozen base.
    """
    weights = sum(skeleton.bytes_of(name, p) for name, p in model.named_parameters())
    weights += sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(_bytes(p) for p in trained)
    elements = sum(p.numel() for p in trained)
    parts = [
        Part("weights", int(weights) // placement.shard(3), placement.offload_parameters),
        Part(
            "gradients", gradients // placement.shard(2), placement.deepspeed and placement.offload_optimizer
        ),
    ]
    if placement.deepspeed:
        mine = nn.Parameter(torch.empty(elements // placement.world, dtype=torch.float32, device="meta"))
        shared, split = optimizer_bytes([mine], make_optimizer), 1
        masters = 2 * _FLOAT * mine.numel()  # of weights, and of gradients at the step
        parts.append(Part("float32 masters", masters, placement.offload_optimizer))
    else:
        shared, split = optimizer_bytes(trained, make_optimizer), placement.shard(1)
    parts.append(Part("optimiser states", shared // split, placement.offload_optimizer))
    if keeps_copy:  # in the dtype of the policy, and not split
        parts.append(Part("KL reference", sum(map(_bytes, model.parameters()))))
    itemsize = max((p.element_size() for p in trained), default=0)
    if placement.buckets:
        buckets = min(placement.buckets * itemsize, (2 if placement.deepspeed else 1) * gradients)
        parts.append(Part("communication buffers", buckets))
    if placement.stage >= 3:
        parts.append(Part("gathered layer", _gathered(model, trained=bool(trained) and not skeleton.lora)))
    return tuple(part for part in parts if part.bytes)


def optimizer_bytes(
    trained: list[nn.Parameter], make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
) -> int:
    """Bytes of an optimiser's states, from one step of it on the meta device.

    An optimiser that can't take such a step (it looks at numbers, or brings kernels of its own) is
    counted like Adam: two states of each parameter's own dtype.
    """
    try:
        return _stepped(make_optimizer([nn.Parameter(torch.empty_like(p, device="meta")) for p in trained]))
    except (RuntimeError, NotImplementedError):
        return 2 * sum(_bytes(p) for p in trained)


def _stepped(optimizer: torch.optim.Optimizer) -> int:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()
    tensors = {
        id(value): value
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    }
    return sum(map(_bytes, tensors.values()))


def _gathered(model: nn.Module, trained: bool) -> int:
    """The largest layer whole, with its gradient if it has one (DeepSpeed's own rule for ZeRO-3)."""
    largest = max((_bytes(p) for p in model.parameters()), default=0)
    return largest * (2 if trained else 1)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


@dataclass(frozen=True)
class Advice:
    """A setting that would lower the peak."""

    key: str
    saves: str


def advice(memory: Memory, skeleton: Skeleton, placement: Placement, is_new: bool) -> Iterable[Advice]:
    """Settings to change when the run does not fit, most effective first."""
    sizes = {part.name: part.bytes for part in memory.states if not part.host}
    if memory.phases:
        largest = memory.largest
        yield Advice(largest.key, f"less of {largest.name}")
        if "update" in largest.name and not skeleton.gradient_checkpointing and not is_new:
            yield Advice("model.load.gradient_checkpointing=true", "activations of one block instead of all")
    if not skeleton.lora:
        yield Advice("model.lora={rank: …, alpha: …, targets: […]}", "gradients and optimiser states")
    split = [s for s in (2, 3) if s > placement.stage]
    if split and placement.accelerator == "gpu":
        what = "gradients and optimiser states" if split[0] == 2 else "weights"
        yield Advice(f"hardware=zero{split[0]}", f"{what} are split over the GPUs")
    if placement.stage and not placement.offload_optimizer and sizes.get("optimiser states"):
        yield Advice("hardware.strategy.offload_optimizer=true", "optimiser states go to the host")

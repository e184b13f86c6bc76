"""Bytes that one process needs, part by part.

What stays follows from the parameters and from what ZeRO splits. With Ψ trained and Φ frozen parameters on N
processes, in bfloat16 with Adam (Rajbhandari et al., arXiv 1910.02054, sections 3.1 and 5, there with Φ = 0):

    one process, DDP   weights, gradients and states of what is trained in float32, the rest as loaded
    ZeRO-1             2(Φ + Ψ) weights, (4 + 8)Ψ / N masters and states; 2Ψ gradients in the backward pass
    ZeRO-2             the same with gradients of 2Ψ / N
    ZeRO-3             2(Φ + Ψ) / N, the largest layer with its gradient, and what ZeRO-2 has beside weights

DeepSpeed's step has float32 gradients, 4Ψ / N, in place of the others. What comes and goes (activations,
logits) is traced: see :mod:`igpo_lightning.preflight.trace`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ..data import RolloutDataModule
from ..models.head import chunk_of
from ..models.skeleton import Skeleton
from .placement import Placement
from .plan import Plan
from .trace import Tracer, blocks, scores
from .work import CountingPolicy, Load, of_sampling

_FLOAT = 4  # bytes of float32
_USABLE = 0.95  # of a GPU's memory; the rest is CUDA's own and lost between blocks
_CALLS = 3  # of a model, while a sampler's own memory is looked at
_VOCABULARY = 65536  # wide enough that logits outweigh all that a sampler keeps for itself

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass
class Memory:
    """Bytes by name. What is ``always`` there stays; of the phases only one is on at a time."""

    always: dict[str, int] = field(default_factory=dict)
    host: dict[str, int] = field(default_factory=dict)  # in the host's memory instead of the device's
    phases: dict[str, dict[str, int]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)  # phase → the setting that makes it smaller

    @property
    def largest(self) -> str:
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def peak(self) -> int:
        return sum(self.always.values()) + max((sum(p.values()) for p in self.phases.values()), default=0)


def states(
    model: nn.Module, skeleton: Skeleton, make: MakeOptimizer, place: Placement, copied: bool
) -> tuple[Memory, dict[str, int]]:
    """Bytes that stay from the first update on, with the optimiser's step; and those that a backward adds.

    Args:
        model: On the meta device, in the dtypes of the run.
        skeleton: Its source.
        make: trained parameters → optimiser.
        place: Who holds which share.
        copied: Whether the KL reference is a copy of the weights rather than the frozen base.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients, elements = sum(map(_bytes, trained)), sum(p.numel() for p in trained)
    weights = sum(skeleton.bytes_of(name, p) for name, p in model.named_parameters())
    weights += sum(map(_bytes, model.buffers()))
    buckets = min(place.buckets * max((p.element_size() for p in trained), default=0), gradients)
    buckets *= place.world > 1
    memory, adding, step = Memory(), {}, {}
    kept, mine = memory.always, elements // place.world
    offloaded = memory.host if place.offload_optimizer else kept
    (memory.host if place.offload_parameters else kept)["weights"] = int(weights) // place.shard(3)
    if place.deepspeed:
        flat = nn.Parameter(torch.empty(mine, dtype=torch.float32, device="meta"))
        optimiser, working = optimizer_bytes([flat], make, place)
        offloaded["float32 masters"] = _FLOAT * mine
        (memory.host if place.offload_optimizer else adding)["gradients"] = gradients // place.shard(2)
        step["float32 gradients"], adding["communication buffers"] = _FLOAT * mine, buckets
    else:
        optimiser, working = (n // place.shard(1) for n in optimizer_bytes(trained, make, place))
        kept |= {"gradients": gradients // place.shard(2), "communication buffers": buckets}
    offloaded["optimiser states"], step["the optimiser's own"] = optimiser, working
    if place.offload_optimizer:
        memory.host |= step
    else:
        memory.phases["the optimiser's step"] = step
    if copied:  # in the dtype of the policy, and not split
        kept["KL reference"] = sum(map(_bytes, model.parameters()))
    if place.stage >= 3:  # the largest layer whole, with its gradient if it has one (DeepSpeed's own rule)
        largest = max(map(_bytes, model.parameters()), default=0)
        kept["gathered layer"] = largest * (2 if trained and not skeleton.lora else 1)
    return memory, adding


def optimizer_bytes(trained: list[nn.Parameter], make: MakeOptimizer, place: Placement) -> tuple[int, int]:
    """(bytes of an optimiser's states, most that its step needs besides), from one step on the meta device.

    An optimiser that can't take such a step (it looks at numbers, or brings kernels of its own) is
    counted like Adam: two states of each parameter's own dtype, and one more in the step.
    """
    optimizer = make([nn.Parameter(torch.empty_like(p, device="meta")) for p in trained])
    for group in optimizer.param_groups:
        fuses = (
            getattr(optimizer, "follows_device", False) and not place.deepspeed
        )  # and needs nothing besides
        if place.accelerator == "gpu" and group.get("foreach", 0) is None and not fuses:
            group["foreach"] = True  # there, torch takes all parameters at once
        for parameter in group["params"]:
            parameter.grad = torch.empty_like(parameter)
    try:
        with Tracer() as tracer:
            optimizer.step()
    except RuntimeError:  # of which NotImplementedError is one
        return 2 * sum(map(_bytes, trained)), sum(map(_bytes, trained))
    tensors = [v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
    return sum(map(_bytes, tensors)), tracer.peak - tracer.now


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def forecast(plan: Plan, loads: Sequence[Load]) -> tuple[Memory, dict[bool, float]]:
    """Trace what the stage needs, and FLOPs of a token in all blocks without and with a backward pass."""
    moving = plan.policy.moving
    copied = plan.policy.keeps_reference and not plan.policy.has_adapters and moving is None
    make, place = plan.module.algorithm.optimizer, plan.placement
    memory, adding = states(plan.policy.model, plan.skeleton, make, place, copied)
    if moving is not None:
        memory.always["KL reference"] = sum(map(_bytes, moving.weights.values()))
    columns, flops = plan.widths.longest + plan.datamodule.length, {}
    if isinstance(plan.datamodule, RolloutDataModule):
        memory.always["rollouts"] = _rollouts(plan)
    for grad in (False, True):
        same = [load for load in loads if load.grad == grad and load.at_once and not load.optional]
        if not same:
            continue
        most, ragged = max(load.at_once for load in same), plan.widths.lengths[0] != plan.widths.longest
        traced = blocks(plan.skeleton, most, columns, place.autocast, ragged, grad)
        flops[grad] = traced.flops / (most * columns)
        for load in same:
            kind = "update" if grad else load.name.partition(",")[0]
            name = f"{kind}, {load.at_once} x {columns} tokens"
            kept = {"activations" if grad else "a block": traced.bytes * load.at_once // most}
            logits = _logits(plan, load, sum(memory.always.values()))
            memory.phases[name] = (adding if grad else {}) | kept | {"logits": logits}
            memory.keys[name] = load.key
    return memory, flops


def _logits(plan: Plan, load: Load, taken: int) -> int:
    """Most bytes of the output head, and of what follows it, where ``taken`` bytes are in use."""
    if load.grad:
        place, most = plan.placement, None
        if place.accelerator == "gpu":  # of unknown size, if there is none here
            total = torch.cuda.get_device_properties(0).total_memory if place.device else math.inf
            most = chunk_of(total - taken)
        trained = any(p.requires_grad for p in plan.policy.network.lm_head.parameters())
        return scores(plan.skeleton, load.positions, load.targets, trained, place.autocast, most)
    each = bytes_per_logit(load.sampler, plan.placement.autocast or plan.skeleton.hidden_dtype)
    return int(each * load.positions * plan.skeleton.config.vocab_size)


class _Enough(Exception):
    """Nothing more is to be learnt from this sampler."""


class _FewCalls(CountingPolicy):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.forwards == _CALLS:
            raise _Enough
        return super().forward(*args, **kwargs)


def bytes_per_logit(sampler: Any, dtype: torch.dtype) -> float:
    """Most bytes that a sampler holds for each logit of a block, itself included.

    A block is fullest at its beginning, so the sampler is stopped after a few model calls.
    """
    policy = _FewCalls(_VOCABULARY, dtype)
    with Tracer() as tracer, suppress(_Enough):
        of_sampling(sampler, policy)
    return tracer.peak / (policy.largest * _VOCABULARY)


def _rollouts(plan: Plan) -> int:
    """A rollout as :class:`igpo_lightning.types.Rollout` holds it: per token its id (8 bytes), its step (4),
    two flags, and for each draw two log-probs (4 bytes each) and a flag."""
    data, algorithm = plan.datamodule, plan.datamodule.algorithm
    mine = algorithm.prompts_per_rollout // plan.placement.world
    tokens = mine * algorithm.num_generations * data.length
    draws = algorithm.logprobs.count(data.length) * algorithm.distinct_iterations
    return tokens * (8 + 4 + 2 + draws * (_FLOAT * (1 + plan.policy.keeps_reference) + 1))


def verdict(plan: Plan, memory: Memory) -> str:
    """Say if the stage fits, and what to change if it does not."""
    place = plan.placement
    if place.device is None:
        needed = memory.peak / _USABLE / 2**30
        return f"no GPU here to compare with: it takes one with {needed:,.1f} GiB or more"
    what = _available(place)[1]
    if _fits(place, memory):
        return f"fits into {what}"
    return f"! DOES NOT FIT into {what}. What helps: {'; '.join(_advice(plan, memory))}"


def spared(plan: Plan, loads: Sequence[Load]) -> str | None:
    """Say if gradient checkpointing is paid for in vain: all activations would fit as well."""
    if not plan.skeleton.gradient_checkpointing or plan.placement.device is None:
        return None
    without = replace(plan, skeleton=replace(plan.skeleton, gradient_checkpointing=False))
    if not _fits(plan.placement, forecast(without, loads)[0]):
        return None
    return "so would all activations: model.load.gradient_checkpointing=false spares their second computation"


def _fits(place: Placement, memory: Memory) -> bool:
    return memory.peak * (1 if place.accelerator == "gpu" else place.devices) <= _available(place)[0]


def _available(place: Placement) -> tuple[float, str]:
    """(bytes that may be used, what they are)."""
    if place.accelerator == "gpu":
        name, total = torch.cuda.get_device_name(0), torch.cuda.get_device_properties(0).total_memory
        return total * _USABLE, f"{name} with {total / 2**30:.1f} GiB, less 5 % for CUDA itself"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, f"the {total / 2**30:.1f} GiB of this machine"


def _advice(plan: Plan, memory: Memory) -> Iterable[str]:
    """Settings that would lower the peak."""
    place, skeleton = plan.placement, plan.skeleton
    largest = max(memory.keys, key=lambda name: sum(memory.phases[name].values()), default="")
    if largest:
        yield f"{memory.keys[largest]} (less of {largest})"
    if largest.startswith("update") and not skeleton.gradient_checkpointing and skeleton.source:
        yield "model.load.gradient_checkpointing=true (activations of one block instead of all)"
    if not skeleton.lora:
        yield "model.lora={rank: …, alpha: …, targets: […]} (gradients and optimiser states)"
    if place.stage < 3 and place.accelerator == "gpu":
        stage, split = (2, "gradients and optimiser states") if place.stage < 2 else (3, "weights")
        yield f"hardware=zero{stage} ({split} are split over the GPUs)"
    if place.stage and not place.offload_optimizer:
        yield "hardware.strategy.offload_optimizer=true (optimiser states go to the host)"

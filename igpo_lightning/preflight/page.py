"""A stage's needs as text: one section a subject, columns that line up, units in the headings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ..data import RolloutDataModule, SFTDataModule
from ..reporting.table import duration
from .memory import Memory, spared, verdict
from .plan import Plan
from .timing import flops_of
from .tokens import ASSUMPTION
from .work import Load

_NAME = 44  # width of the first column


def needs(plan: Plan, memory: Memory, loads: Sequence[Load], flops: Mapping[bool, float]) -> str:
    """Everything that is known of a stage before anything is timed."""
    lines = [*(f"  ! {warning}" for warning in plan.warnings), *_model(plan), *_data(plan)]
    return "\n".join([*lines, *_memory(plan, memory, loads), *_work(plan, loads, flops)])


def _model(plan: Plan) -> Iterable[str]:
    skeleton, named = plan.skeleton, dict(plan.policy.model.named_parameters())
    config, network = skeleton.config, type(plan.policy.network).__name__
    yield ""
    yield (
        f"model    {skeleton.source or 'new weights'}: {network}, {skeleton.layers} blocks of width "
        f"{config.hidden_size:,}, {config.vocab_size:,} tokens"
    )
    adapters = [p for name, p in named.items() if ".lora_" in name]
    base = [p for name, p in named.items() if ".lora_" not in name]
    quantised = f", linear layers in {skeleton.quantize}" if skeleton.quantize else ""
    yield _row("parameters", f"{_count(base):,}", _dtypes(base) + quantised)
    if adapters:
        rank = f", rank {skeleton.lora['rank']}" if skeleton.lora else ""
        yield _row(f"LoRA parameters{rank}", f"{_count(adapters):,}", _dtypes(adapters))
    trained = _count(p for p in named.values() if p.requires_grad)
    yield _row("trained", f"{trained:,}", f"{trained / _count(named.values()):.2%} of all")


def _data(plan: Plan) -> Iterable[str]:
    about = "about " if any(ASSUMPTION in warning for warning in plan.warnings) else ""
    lengths = plan.widths.lengths
    yield ""
    yield f"data     {about}{plan.datamodule.describe()}"
    yield _row("prompts, tokens", f"{about}{np.mean(lengths):.0f}", f"on average; {lengths[-1]} at most")
    yield _row("completions, tokens", f"{plan.datamodule.length}", "width of the canvas")


def _memory(plan: Plan, memory: Memory, loads: Sequence[Load]) -> Iterable[str]:
    place = plan.placement
    kind = "GPU" if place.accelerator == "gpu" else "process"
    where = f"{place.strategy}, {place.devices} a node, {place.nodes} node(s)"
    yield ""
    yield f"memory   GiB per {kind}, an estimate · {where}"
    for name, size in memory.always.items():
        if size:
            yield _row(name, _gib(size))
    for phase, parts in memory.phases.items():
        yield f"  {phase}"
        for name, size in parts.items():
            yield _row(f"  {name}", _gib(size), _recomputed(plan) if name == "activations" else "")
    yield _row("peak", _gib(memory.peak), f"what stays, and {memory.largest.partition(',')[0]}")
    for name, size in memory.host.items():
        yield _row(name, _gib(size), "in the host's memory, for each process")
    yield f"  {verdict(plan, memory)}"
    if (remark := spared(plan, loads)) is not None:
        yield f"  {remark}"


def _recomputed(plan: Plan) -> str:
    if not plan.skeleton.gradient_checkpointing:
        return "of all blocks; gradient checkpointing is off"
    return "blocks' inputs, and one block computed again"


def _work(plan: Plan, loads: Sequence[Load], flops: Mapping[bool, float]) -> Iterable[str]:
    yield ""
    yield "work     of one process, if every completion fills its canvas; FLOPs are of all blocks"
    titles = ("calls each", "rows each", "rows in all", "TFLOP in all")
    yield f"  {'':{_NAME}}{'times':>8}" + "".join(f"{title:>14}" for title in titles)
    for load in loads:
        most = "≤ " if load.optional else ""
        cells = (load.forwards, load.rows, load.times * load.rows, flops_of(load, flops) / 1e12)
        yield f"  {load.name:{_NAME}}{load.times:>8,}" + "".join(f"{most + _figure(c):>14}" for c in cells)
    yield f"  {_totals(plan, loads)}"


def _totals(plan: Plan, loads: Sequence[Load]) -> str:
    data = plan.datamodule
    if isinstance(data, RolloutDataModule):
        algorithm = data.algorithm
        first = data.rollouts * algorithm.prompts_per_rollout * algorithm.num_generations
        second = " and up to as many second tries" if any(load.optional for load in loads) else ""
        return f"in all: {data.rollouts:,} rollouts, {first:,} completions{second}, {data.updates:,} updates"
    if not isinstance(data, SFTDataModule):
        return "of its training steps nothing is known: another kind of DataModule"
    rows = data.steps * data.algorithm.batch_size
    return f"in all: {data.steps:,} updates, {rows:,} rows ({rows / len(plan.widths.lengths):.1f} epochs)"


def times(loads: Sequence[Load], seconds: Sequence[float], notes: Sequence[str]) -> str:
    """Say how long each kind of work takes, or why that is not known."""
    each = zip(loads, seconds, strict=bool(seconds))
    rows = [_row(load.name, "≤ " * load.optional + _long(value)) for load, value in each]
    total = [_row("in all", span(loads, seconds))] if seconds else []
    return "\n".join(["", f"time     {notes[0]}", *rows, *total, *(f"  {note}" for note in notes[1:]), ""])


def _row(name: str, value: str, remark: str = "") -> str:
    return f"  {name:{_NAME}}{value:>16}  {remark}".rstrip()


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _count(parameters: Iterable) -> int:
    return sum(p.numel() for p in parameters)


def _dtypes(parameters: Iterable) -> str:
    return ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in parameters}))


def _gib(size: int) -> str:
    gib = size / 2**30
    return f"{gib:,.2f}" if gib >= 0.005 else f"{gib:.5f}"


def span(loads: Sequence[Load], seconds: Sequence[float]) -> str:
    """Time of all loads, at best and at most."""
    high = sum(seconds)
    low = high - sum(value for load, value in zip(loads, seconds, strict=True) if load.optional)
    return _long(high) if _long(low) == _long(high) else f"{_long(low)} to {_long(high)}"


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"

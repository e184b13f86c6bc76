"""A stage's needs as text: one section a subject, columns that line up, units in the headings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..data import RolloutDataModule, SFTDataModule
from ..models.skeleton import Skeleton
from ..reporting.table import duration
from .estimate import Estimate
from .memory import Memory
from .plan import Plan
from .work import Load

GIB = 2**30
_NAME = 44  # width of the first column


@dataclass(frozen=True)
class Needs:
    """Everything that is known of a stage before it runs."""

    plan: Plan
    memory: Memory
    loads: Sequence[Load]
    estimate: Estimate
    verdict: str


def render(stages: Sequence[Needs]) -> str:
    """The page of a run."""
    lines = []
    for number, needs in enumerate(stages, start=1):
        cfg = needs.plan.cfg
        of = f"stage {number} of {len(stages)}: " if len(stages) > 1 else ""
        lines += [
            f"{of}{cfg.algo.name} · {cfg.model.name} · {cfg.data.name} · seed {cfg.seed}",
            *(f"  ! {warning}" for warning in needs.plan.warnings),
            *_model(needs.plan),
            *_data(needs.plan),
            *_memory(needs),
            *_work(needs),
            *_time(needs.estimate),
            "",
        ]
    if len(stages) > 1:
        low, high = (sum(ends) for ends in zip(*(needs.estimate.range for needs in stages), strict=True))
        lines.append(f"both stages: about {_span(low, high)} on this device")
    return "\n".join(lines).rstrip()


def _model(plan: Plan) -> Iterable[str]:
    skeleton, named = plan.skeleton, list(plan.policy.model.named_parameters())
    config, network = skeleton.config, plan.policy.network
    where = skeleton.source or "new weights"
    yield ""
    yield (
        f"model    {where}: {type(network).__name__}, {skeleton.layers} blocks of width "
        f"{config.hidden_size:,}, {config.vocab_size:,} tokens"
    )
    base = [p for name, p in named if ".lora_" not in name]
    adapters = [p for name, p in named if ".lora_" in name]
    yield _row("parameters", f"{_count(base):,}", _dtypes(base) + _quantised(skeleton))
    if adapters:
        rank = f", rank {skeleton.lora['rank']}" if skeleton.lora else ""
        yield _row(f"LoRA parameters{rank}", f"{_count(adapters):,}", _dtypes(adapters))
    trained = [p for _, p in named if p.requires_grad]
    share = _count(trained) / _count(p for _, p in named)
    yield _row("trained", f"{_count(trained):,}", f"{share:.2%} of all")


def _quantised(skeleton: Skeleton) -> str:
    return f", linear layers in {skeleton.quantize}" if skeleton.quantize else ""


def _data(plan: Plan) -> Iterable[str]:
    about = "about " if plan.assumes_tokens else ""
    widths = plan.widths
    yield ""
    yield f"data     {about}{plan.datamodule.describe()}"
    yield _row("prompts, tokens", f"{about}{widths.mean:.0f}", f"on average; {widths.longest} at most")
    yield _row("completions, tokens", f"{plan.datamodule.length}", "width of the canvas")


def _memory(needs: Needs) -> Iterable[str]:
    plan, memory = needs.plan, needs.memory
    place = plan.placement
    kind = "GPU" if place.accelerator == "gpu" else "process"
    yield ""
    yield f"memory   GiB per {kind} · {place.strategy}, {place.devices} a node, {place.nodes} node(s)"
    for part in memory.states:
        yield _row(part.name, _gib(part.bytes), "in the host's memory" if part.host else "")
    for phase in memory.phases:
        yield f"  {phase.name}"
        for part in phase.parts:
            yield _row(f"  {part.name}", _gib(part.bytes), _remark(plan, part.name))
    yield _row("peak", _gib(memory.peak), f"what stays, and {memory.largest.name.partition(',')[0]}")
    if memory.host:
        yield _row("host", _gib(memory.host), "for each process")
    yield f"  {needs.verdict}"


def _remark(plan: Plan, name: str) -> str:
    if name != "activations":
        return ""
    if plan.skeleton.gradient_checkpointing:
        return "blocks' inputs, and one block computed again"
    return "of all blocks; gradient checkpointing is off"


def _work(needs: Needs) -> Iterable[str]:
    yield ""
    yield "work     of one process, if every completion fills its canvas"
    yield f"  {'':{_NAME}}{'times':>8}{'calls each':>12}{'rows each':>12}{'rows in all':>14}"
    for load in needs.loads:
        most = "≤ " if load.optional else ""
        each = f"{load.times:>8,}{most + f'{load.calls.forwards:,}':>12}{most + f'{load.calls.rows:,}':>12}"
        yield f"  {load.name:{_NAME}}{each}{most + f'{load.times * load.calls.rows:,}':>14}"
    yield f"  {_totals(needs)}"


def _totals(needs: Needs) -> str:
    data = needs.plan.datamodule
    if isinstance(data, RolloutDataModule):
        first = data.windows * data.prompts_per_window * data.engine.group_size
        second = " and up to as many second tries" if any(load.optional for load in needs.loads) else ""
        updates = data.windows * data.inner_updates * data.updates_per_pass
        return f"in all: {data.windows:,} windows, {first:,} completions{second}, {updates:,} updates"
    if not isinstance(data, SFTDataModule):
        return "of its training steps nothing is known: another kind of DataModule"
    rows = data.steps * data.batch_size
    epochs = rows / len(needs.plan.widths.lengths)
    return f"in all: {data.steps:,} updates, {rows:,} rows ({epochs:.1f} epochs)"


def _time(estimate: Estimate) -> Iterable[str]:
    yield ""
    yield f"time     {estimate.how}"
    yield f"  {'':{_NAME}}{'times':>8}{'seconds each':>16}{'in all':>16}"
    for piece in estimate.pieces:
        most = "≤ " if piece.optional else ""
        yield (
            f"  {piece.name:{_NAME}}{piece.times:>8,}{most + _seconds(piece.seconds):>16}"
            f"{most + _long(piece.total):>16}"
        )
    yield _row("in all", _span(*estimate.range), "")
    for note in estimate.notes:
        yield f"  {note}"


def _row(name: str, value: str, remark: str) -> str:
    return f"  {name:{_NAME}}{value:>16}  {remark}".rstrip()


def _count(parameters: Iterable) -> int:
    return sum(p.numel() for p in parameters)


def _dtypes(parameters: Iterable) -> str:
    return ", ".join(sorted({str(p.dtype).removeprefix("torch.") for p in parameters}))


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f}" if size >= 0.005 * GIB else f"{size / GIB:.5f}"


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _span(low: float, high: float) -> str:
    return _long(high) if _long(low) == _long(high) else f"{_long(low)} to {_long(high)}"


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"

"""Loads of one process of a run: model calls by kind, and the memory of each kind."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..data import RolloutDataModule, SFTDataModule
from ..rollout import Keep
from . import trace
from .memory import Part, Phase
from .plan import Plan
from .work import Calls, Load, of_estimate, of_sampling


@dataclass(frozen=True)
class Rows:
    """Canvases of the largest model call of each kind, and the positions that reach its output head."""

    update: int
    update_positions: int
    targets: int  # tokens that are scored at one position: G where the group shares its canvas
    sampling: int
    decoding: int


def loads_of(plan: Plan) -> list[Load]:
    """All model calls of the first process; the others make as many."""
    if isinstance(plan.datamodule, RolloutDataModule):
        kinds = _rollout(plan)
    elif isinstance(plan.datamodule, SFTDataModule):
        kinds = _supervised(plan)
    else:
        kinds = []
    return [load for load in (*kinds, *_decoding(plan)) if load.times and load.calls.rows]


def _rollout(plan: Plan) -> list[Load]:
    data = plan.datamodule
    engine, step, width = data.engine, data.step_size, data.length
    mine = data.prompts_per_window // plan.placement.world
    columns = plan.widths.padded(mine) + width
    first = of_rows(of_sampling(engine.sampler), mine * engine.group_size, engine.rows_per_forward)
    estimate = of_estimate(engine.logprobs, step, engine.group_size, width)
    slots, views = data.slots, engine.logprobs.views(engine.inner_updates)
    kinds = [Load("sampling, first tries", first, data.windows, columns)]
    if can_sample_again(engine):
        kinds.append(Load("sampling, second tries", first, data.windows, columns, optional=True))
    kinds.append(Load("log-probs of the sampling policy", estimate * (slots * views), data.windows, columns))
    if plan.policy.keeps_reference:
        kinds.append(Load("log-probs of the reference", estimate * (slots * views), data.windows, columns))
    passes = estimate * (slots * data.inner_updates)
    return [*kinds, Load("updates", passes, data.windows, columns, grad=True)]


def can_sample_again(engine) -> bool:
    """True if all-wrong groups may get second tries."""
    if isinstance(engine.intervention, Keep):
        return False
    share = getattr(engine.intervention, "replace", 1.0)
    return math.floor(share * engine.group_size + 1e-9) > 0


def of_rows(one: Calls, rows: int, at_once: int) -> Calls:
    """The calls of ``rows`` completions, ``at_once`` of them together."""
    together = min(rows, at_once)
    return Calls(
        forwards=-(-rows // at_once) * one.forwards,
        rows=rows * one.rows,
        positions=rows * one.positions,
        largest=together * one.largest,
    )


def _supervised(plan: Plan) -> list[Load]:
    data = plan.datamodule
    rows, width = data.step_size, data.length
    columns = plan.widths.padded(rows) + width
    # Masking ratios are spread evenly over the rows: their mean is 1/2, and at most (1 + 1/rows) / 2.
    step = Calls(1, rows, rows * width // 2, (rows + 1) * width // 2)
    kinds = [Load("updates", step, data.steps * data.slots, columns, grad=True)]
    held = len(data.source.val) // plan.placement.world
    validation = Calls(-(-held // data.eval_batch), held, held * width // 2, step.largest)
    return [*kinds, Load("loss on held-out rows", validation, validations(plan), columns)]


def validations(plan: Plan) -> int:
    """Number of times that held-out problems are decoded during training."""
    data = plan.datamodule
    if not data.source.val:
        return 0
    if isinstance(data, RolloutDataModule):
        return data.windows // data.validate_every
    return data.steps // data.validate_every


def _decoding(plan: Plan) -> list[Load]:
    """Held-out problems: validation before, during and after training, the test set once, at the end."""
    data, world = plan.datamodule, plan.placement.world
    one = of_sampling(plan.module.decoder)
    val, test = len(data.source.val), len(data.source.test)
    ends = (1 if plan.starts_measured else 2) if plan.cfg.evaluate else 0
    kinds = (
        ("decoding, validation", val, validations(plan) + ends),
        ("decoding, test", test, 1 if plan.cfg.evaluate and plan.is_last else 0),
    )
    return [
        Load(
            name,
            of_rows(one, rows // world, data.eval_batch),
            times,
            plan.widths.padded(max(1, min(rows // world, data.eval_batch))) + data.length,
        )
        for name, rows, times in kinds
    ]


def rows_of(plan: Plan) -> Rows:
    """The largest model calls of a stage."""
    data, world = plan.datamodule, plan.placement.world
    heldout = max(len(data.source.val), len(data.source.test))
    decoding = min(data.eval_batch, max(1, heldout // world))
    if isinstance(data, RolloutDataModule):
        engine = data.engine
        estimate = of_estimate(engine.logprobs, data.step_size, engine.group_size, data.length)
        shares = estimate.rows == data.step_size  # one canvas for the whole group
        mine = data.prompts_per_window // world * engine.group_size
        return Rows(
            update=estimate.rows,  # graphs of all calls of a micro-batch are alive at its backward
            update_positions=estimate.positions,
            targets=engine.group_size if shares else 1,
            sampling=min(mine, engine.rows_per_forward),
            decoding=decoding,
        )
    rows = data.step_size
    return Rows(rows, (rows + 1) * data.length // 2, 1, 0, decoding)


def phases(plan: Plan) -> tuple[Phase, ...]:
    """Memory of updates, sampling and decoding besides the states, with the longest prompt there is."""
    rows, columns = rows_of(plan), plan.widths.longest + plan.datamodule.length
    skeleton, autocast = plan.skeleton, plan.placement.autocast
    head = plan.policy.network.lm_head
    trained = any(parameter.requires_grad for parameter in head.parameters())
    scoring = trace.scoring_bytes(
        skeleton, rows.update_positions, rows.targets, trained=trained, autocast=autocast
    )
    activations = trace.training_bytes(
        skeleton, rows.update, columns, autocast=autocast, padded=plan.widths.ragged
    )
    rl = isinstance(plan.datamodule, RolloutDataModule)
    update = [Part("activations", activations), Part("scores of tokens", scoring)]
    if rl:
        update.append(Part("rollout buffer", _buffer(plan)))
    key = "algo.prompts_per_step" if rl else "algo.rows_per_step"
    result = [Phase(f"update, {rows.update} x {columns} tokens", tuple(update), key)]
    if rl:
        result.append(_sampling(plan, "sampling", rows.sampling, columns, plan.datamodule.engine.sampler))
    result.append(_sampling(plan, "decoding", rows.decoding, columns, plan.module.decoder))
    return tuple(result)


def _sampling(plan: Plan, name: str, rows: int, columns: int, sampler) -> Phase:
    autocast = plan.placement.autocast
    dtype = autocast or plan.skeleton.hidden_dtype
    logits = rows * of_sampling(sampler).largest * plan.skeleton.config.vocab_size
    forward = trace.forward_bytes(plan.skeleton, rows, columns, autocast=autocast, padded=plan.widths.ragged)
    parts = (
        Part("forward", forward),
        Part("logits of a block", int(logits * trace.sampling_bytes_per_logit(sampler, dtype))),
    )
    key = "algo.rows_per_forward" if name == "sampling" else "data.eval_batch"
    return Phase(f"{name}, {rows} x {columns} tokens", parts, key)


def _buffer(plan: Plan) -> int:
    """A window as :class:`igpo_lightning.types.RolloutBatch` holds it: per token its id (8 bytes), two
    flags, and for each view two log-probs (4 bytes each) and a flag."""
    data = plan.datamodule
    engine = data.engine
    views = engine.logprobs.views(engine.inner_updates)
    tokens = data.prompts_per_window // plan.placement.world * engine.group_size * data.length
    per_view = 2 * torch.float32.itemsize + 1 if plan.policy.keeps_reference else torch.float32.itemsize + 1
    return tokens * (torch.int64.itemsize + 2 + views * per_view)

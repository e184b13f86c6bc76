"""Model calls of a run, counted by running its own sampler and estimator on a policy that only counts.

One that is named in a config is counted as well as those of this package.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data import RolloutDataModule, SFTDataModule
from ..models.head import TokenScores, token_scores
from ..rollout import Keep
from ..types import RolloutBatch
from .plan import Plan

_EOS, _TOKEN, _MASK = range(3)


class CountingPolicy(nn.Module):
    """A policy that always wants the same token, never the end of a sequence.

    Attributes:
        forwards, rows, positions: Calls, canvases in them, and positions that reached the output head.
        largest: Most positions of one call.
    """

    def __init__(self, vocabulary: int = 3, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.mask_id, self.eos_id, self.pad_id, self.stop_ids = _MASK, _EOS, _EOS, (_EOS,)
        self.vocabulary, self.dtype = vocabulary, dtype
        self.forwards = self.rows = self.positions = self.largest = 0

    def forward(
        self,
        tokens: Tensor,
        attention: Tensor | None = None,
        positions: Tensor | None = None,
        targets: Tensor | None = None,
        entropy: bool = False,
    ) -> Tensor | TokenScores:
        count = tokens.numel() if positions is None else int(positions.sum())
        self.forwards, self.rows = self.forwards + 1, self.rows + len(tokens)
        self.positions, self.largest = self.positions + count, max(self.largest, count)
        logits = torch.full((count, self.vocabulary), -torch.inf, dtype=self.dtype, device="cpu")
        logits[:, _TOKEN] = 0
        if targets is not None:
            return token_scores(logits, targets, entropy)
        return logits if positions is not None else logits.view(*tokens.shape, -1)


def of_sampling(sampler: Any, policy: CountingPolicy | None = None) -> CountingPolicy:
    """Count one completion that fills its whole canvas; rows that are sampled together share their calls."""
    policy = policy or CountingPolicy()
    canvas = torch.full((1, 1 + sampler.length), _MASK, dtype=torch.long, device="cpu")
    canvas[:, 0] = _TOKEN
    sampler(policy, canvas, None, [0])
    return policy


def of_estimate(logprobs: Any, prompts: int, group_size: int, width: int) -> CountingPolicy:
    """Count one pass of an estimator over ``prompts`` groups."""
    ids, flags = (
        torch.ones(prompts, group_size, width, dtype=t, device="cpu") for t in (torch.long, torch.bool)
    )
    zeros = torch.zeros(ids.shape, dtype=torch.float32, device="cpu")
    empty = RolloutBatch(
        prompt_ids=ids[:, 0, :1],
        prompt_mask=flags[:, 0, :1],
        completions=ids,
        hint_mask=~flags,
        rewards=zeros[..., 0],
        correct=flags[..., 0],
        advantages=zeros[..., 0],
        loss_mask=flags,
        old_logps=zeros[None],
        ref_logps=None,
        keep=flags[None],
        seeds=ids[:, 0, 0],
    )
    policy = CountingPolicy()
    logprobs(policy, empty, 0)
    return policy


@dataclass(frozen=True)
class Load:
    """A kind of work that one process does ``times`` times."""

    name: str
    times: int
    forwards: int  # model calls of one time
    rows: int  # canvases in them, summed over the calls
    columns: int  # expected width of a canvas
    at_once: int = 0  # most canvases in memory together; 0: other work always needs more memory
    positions: int = 0  # of these that reach the output head
    key: str = ""  # the setting that makes them fewer
    targets: int = 1  # tokens that are scored at one position: G where the group shares its canvas
    sampler: Any = None  # what fills the canvases, if they are filled
    grad: bool = False  # it has a backward pass
    optional: bool = False  # an upper bound: at best none of it is needed


def loads_of(plan: Plan) -> list[Load]:
    """All model calls of the first process; the others make as many."""
    kinds = {RolloutDataModule: _rollout, SFTDataModule: _supervised}
    training = [load for kind, of in kinds.items() if isinstance(plan.datamodule, kind) for load in of(plan)]
    return [load for load in (*training, *_decoding(plan)) if load.times and load.rows]


def _filling(name: str, times: int, sampler: Any, rows: int, most: int, **common: Any) -> Load:
    """Fill ``rows`` canvases, ``most`` of them together."""
    one, at_once = of_sampling(sampler), min(rows, most)
    sizes = {"at_once": at_once, "positions": at_once * one.largest, "sampler": sampler}
    return Load(name, times, -(-rows // most) * one.forwards, rows * one.rows, **sizes, **common)


def _rollout(plan: Plan) -> list[Load]:
    data, engine = plan.datamodule, plan.datamodule.engine
    mine = data.prompts_per_window // plan.placement.world
    columns, rows = plan.widths.padded(mine) + data.length, mine * engine.group_size
    common = {"columns": columns, "key": "algo.rows_per_forward"}
    name, most = "sampling, first tries", engine.rows_per_forward
    loads = [_filling(name, data.windows, engine.sampler, rows, most, **common)]
    if can_sample_again(engine):
        loads.append(replace(loads[0], name="sampling, second tries", optional=True))
    one = of_estimate(engine.logprobs, data.step_size, engine.group_size, data.length)
    passes = {"log-probs of the sampling policy": engine.logprobs.views(engine.inner_updates)}
    if plan.policy.keeps_reference:
        passes["log-probs of the reference"] = passes["log-probs of the sampling policy"]
    for name, count in (passes | {"updates": data.inner_updates}).items():
        calls = count * data.slots
        loads.append(Load(name, data.windows, calls * one.forwards, calls * one.rows, columns))
    # The graphs of all calls of a micro-batch are alive at its backward.
    targets = engine.group_size if one.rows == data.step_size else 1
    sizes = {"at_once": one.rows, "positions": one.positions, "targets": targets}
    return [*loads[:-1], replace(loads[-1], **sizes, key="algo.prompts_per_step", grad=True)]


def can_sample_again(engine: Any) -> bool:
    """Whether all-wrong groups may get second tries."""
    share = 0.0 if isinstance(engine.intervention, Keep) else getattr(engine.intervention, "replace", 1.0)
    return math.floor(share * engine.group_size + 1e-9) > 0


def _supervised(plan: Plan) -> list[Load]:
    data, rows = plan.datamodule, plan.datamodule.step_size
    columns, held = plan.widths.padded(rows) + data.length, len(data.source.val) // plan.placement.world
    # Masking ratios are spread evenly: they are (1 + 1/rows) / 2 on average, at most.
    sizes = {"at_once": rows, "positions": (rows + 1) * data.length // 2, "key": "algo.rows_per_step"}
    return [
        Load("updates", data.steps * data.slots, 1, rows, columns, **sizes, grad=True),
        Load("loss on held-out rows", validations(plan), -(-held // data.eval_batch), held, columns),
    ]


def validations(plan: Plan) -> int:
    """How often held-out problems are decoded during training."""
    data = plan.datamodule
    passes = data.windows if isinstance(data, RolloutDataModule) else getattr(data, "steps", 0)
    return passes // data.validate_every if data.source.val else 0


def _decoding(plan: Plan) -> Iterator[Load]:
    """Held-out problems: validation before, during and after training, the test set once, at the end."""
    data, most = plan.datamodule, plan.datamodule.eval_batch
    ends = plan.cfg.evaluate * (1 if plan.starts_measured else 2)
    last = int(plan.cfg.evaluate and plan.is_last)
    for name, problems, times in (
        ("decoding, validation", data.source.val, validations(plan) + ends),
        ("decoding, test", data.source.test, last),
    ):
        rows = len(problems) // plan.placement.world
        columns = plan.widths.padded(max(1, min(rows, most))) + data.length
        yield _filling(name, times, plan.module.decoder, rows, most, columns=columns, key="data.eval_batch")

"""Model calls of a run, counted by running its own sampler and estimator on a policy that only counts.

One that is named in a config is counted as well as those of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..algos import Algorithm
from ..algos.logprobs import score
from ..data import RolloutDataModule, SFTDataModule
from ..models.head import TokenScores, token_scores
from ..types import Rollout
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
        self.vocabulary, self.dtype, self.sharded = vocabulary, dtype, False
        self.forwards = self.rows = self.positions = self.largest = 0

    def sampling(self, compiled: bool = True) -> AbstractContextManager[None]:
        return nullcontext()

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
    """Count one completion that fills its whole canvas; rows that are sampled together share their calls.

    A sampler that takes fewer calls when a model is sure, or runs part of a canvas, is counted as its exact
    one: more can't be said without the model.
    """
    sampler = sampler.exact() if getattr(sampler, "approximate", False) else sampler
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
    empty = Rollout(
        prompt_ids=ids[:, 0, :1],
        prompt_mask=flags[:, 0, :1],
        seeds=ids[:, 0, 0],
        tokens=ids,
        hint_mask=~flags,
        completion_mask=flags,
        step_map=ids.int(),
        rewards=zeros[..., 0],
        correct=flags[..., 0],
        step_entropy=zeros,
    )
    policy: Any = CountingPolicy()
    score(policy, empty, logprobs.draws(empty, 0))
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
    data, algorithm = plan.datamodule, plan.datamodule.algorithm
    mine = algorithm.prompts_per_rollout // plan.placement.world
    columns, rows = plan.widths.padded(mine) + data.length, mine * algorithm.num_generations
    common = {"columns": columns, "key": "algo.rows_per_forward"}
    name, most = "sampling, first tries", algorithm.row_budget.rows or rows  # auto: all of them, if they fit
    loads = [_filling(name, data.rollouts, algorithm.sampler, rows, most, **common)]
    if can_sample_again(algorithm):
        loads.append(replace(loads[0], name="sampling, second tries", optional=True))
    if tries := getattr(algorithm.select, "tries", 0):
        again = {"times": data.rollouts * tries, "optional": True}
        loads.append(replace(loads[0], name="sampling, other prompts", **again))
    group, iterations = algorithm.num_generations, algorithm.num_iterations
    one = of_estimate(algorithm.logprobs, data.step_size, group, data.length)

    def passes(name: str, count: int, **sizes: Any) -> Load:
        calls = count * data.slots
        return Load(name, data.rollouts, calls * one.forwards, calls * one.rows, columns, **sizes)

    loads.append(passes("log-probs of the sampling policy", algorithm.distinct_iterations))
    if plan.policy.keeps_reference:
        loads.append(passes("log-probs of the reference", algorithm.distinct_iterations))
    if getattr(algorithm.credit, "runs_draws", False):
        loads.append(passes("greedy ends of replayed steps", 1))
    parts = len(algorithm.parts_of(algorithm.logprobs.count(data.length)))
    if parts > 1:  # the slope of the loss is taken at all draws' log-probs first, but for a first update
        loads.append(passes("present log-probs", iterations - 1))
    # The graphs of all draws of a micro-batch are alive at its backward.
    sizes = {"at_once": -(-one.rows // parts), "positions": -(-one.positions // parts)}
    targets, key = group if one.rows == data.step_size else 1, "algo.prompts_per_micro_batch"
    return [*loads, passes("updates", iterations, **sizes, targets=targets, key=key, grad=True)]


def can_sample_again(algorithm: Algorithm) -> bool:
    """True if all-wrong groups may get second tries."""
    merge = getattr(algorithm.inpaint, "merge", None)
    return merge is not None and merge.most(algorithm.num_generations) > 0


def _supervised(plan: Plan) -> list[Load]:
    data, rows = plan.datamodule, plan.datamodule.step_size
    columns, held = plan.widths.padded(rows) + data.length, len(data.source.val) // plan.placement.world
    # Masking ratios are spread evenly: they are (1 + 1/rows) / 2 on average, at most.
    sizes = {"at_once": rows, "positions": (rows + 1) * data.length // 2, "key": "algo.rows_per_micro_batch"}
    return [
        Load("updates", data.steps * data.slots, 1, rows, columns, **sizes, grad=True),
        Load("loss on held-out rows", validations(plan), -(-held // data.eval_batch), held, columns),
    ]


def validations(plan: Plan) -> int:
    """Number of times that held-out problems are decoded during training."""
    data = plan.datamodule
    passes = data.rollouts if isinstance(data, RolloutDataModule) else getattr(data, "steps", 0)
    return passes // data.algorithm.validate_every if data.source.val else 0


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

"""Contenders: sampling, an update, a whole iteration, by this package's code and by the published one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import progress
from ..models import Policy
from ..sampling.canvas import collate
from ..sampling.generate import generate
from ..seeding import derive, torch_rng
from ..types import Samples
from .fitting import fit_once
from .meter import Meter
from .published import PublishedSampler, PublishedUpdate
from .workload import Workload


class Contender(Protocol):
    """Something that is measured.

    Attributes:
        what: sampling, update or iteration.
        name: Its case; "published" is what the others are compared with.
        changes: Overrides of its case, or words about what it is.
        policy: The network that computes; None if it has one of its own.
    """

    what: str
    name: str
    changes: list[str]
    policy: Policy | None
    load: Workload

    def __call__(self, meter: Meter) -> None:
        """Do the work once, the meter running around it, and tell the meter what was made."""


@dataclass
class Ours:
    """This package's code for one case, as a run would call it."""

    what: str
    name: str
    changes: list[str]
    load: Workload

    @property
    def policy(self) -> Policy:
        return self.load.policy

    def __call__(self, meter: Meter) -> None:
        _OURS[self.what](self.load, meter)


@dataclass
class Published:
    """The published code on the same weights and prompts."""

    what: str
    load: Workload
    name: str = "published"

    def __post_init__(self) -> None:
        self.changes: list[str] = []

    @property
    def policy(self) -> Policy:
        return self.load.policy

    def __call__(self, meter: Meter) -> None:
        _PUBLISHED[self.what](self.load, meter)


def _sample(load: Workload, meter: Meter) -> None:
    algorithm, policy = load.algorithm, load.policy
    prompts = collate(load.prompts, policy.pad_id, load.device)
    which = torch.tensor(load.which, dtype=torch.long, device="cpu")
    shape = (load.rows, algorithm.sampler.length)
    canvas = torch.full(shape, policy.mask_id, dtype=torch.long, device="cpu")
    seeds = [derive(algorithm.seed, "bench", row) for row in range(load.rows)]
    with load.precision(), torch.no_grad(), meter.running():
        done = generate(policy, algorithm.sampler, prompts, which, canvas, seeds, algorithm.row_budget)
    meter.turn.tokens, meter.turn.row_forwards = done.tokens.numel(), done.row_forwards


def _iterate(load: Workload, meter: Meter) -> None:
    with kept(load.policy), progress.observed(meter.observe):
        rollout = fit_once(load, load.algorithm, meter)
    meter.turn.tokens = rollout.tokens.numel()
    meter.turn.row_forwards = int(rollout.metrics["row_forwards"])
    _rest_is(meter, "update")


def _update(load: Workload, meter: Meter) -> None:
    algorithm = replace(load.algorithm, sampler=Filled(load.algorithm.sampler.length, load.algorithm.seed))
    with kept(load.policy), progress.observed(meter.observe):
        rollout = fit_once(load, algorithm, meter)
    meter.turn.tokens = rollout.tokens.numel()
    _rest_is(meter, "update")


def _rest_is(meter: Meter, name: str) -> None:
    meter.turn.phases[name] = meter.turn.seconds - sum(meter.turn.phases.values())


def published_sampler(load: Workload) -> PublishedSampler:
    """LLaDA's sampler with the sizes of the case's own."""
    own = load.algorithm.sampler
    return PublishedSampler(own.length, own.block_length, own.steps, own.temperature)


def published_completions(load: Workload, which: list[int]) -> Tensor:
    """[B, C]: prompts of one length go together, as that code knows no padding."""
    sample, generator = published_sampler(load), _generator(load, "noise")
    done = []
    for width, rows in groupby(sorted(which, key=lambda p: len(load.prompts[p].ids)), _width(load)):
        ids = [load.prompts[p].ids for p in rows]
        assert all(len(row) == width for row in ids)
        prompts = torch.tensor(ids, dtype=torch.long, device=load.device)
        most = load.algorithm.row_budget.rows or load.rows
        done += [sample(load.policy, part, generator) for part in prompts.split(most)]
    return torch.cat(done)


def _publish_sample(load: Workload, meter: Meter) -> None:
    with load.precision(), meter.running():
        done = published_completions(load, load.which)
        load.policy.tokenizer.batch_decode(done.tolist(), skip_special_tokens=True)
    _tell(load, meter, done, sampled=True)


def _publish_update(load: Workload, meter: Meter) -> None:
    shape = (len(load.prompts), load.algorithm.num_generations, load.algorithm.sampler.length)
    generator = torch_rng(load.algorithm.seed, "bench", "completions")
    size = load.policy.network.config.vocab_size
    drawn = torch.randint(size, shape, generator=generator, dtype=torch.long, device="cpu").to(load.device)
    with kept(load.policy), load.precision(), meter.running():
        _learn(load, meter, drawn)
    _tell(load, meter, drawn, sampled=False)


def _publish_iteration(load: Workload, meter: Meter) -> None:
    group, prompts = load.algorithm.num_generations, len(load.prompts)
    which = [p for p in range(prompts) for _ in range(group)]
    order = sorted(range(prompts), key=_width(load))  # as the completions come
    inner = replace(load, prompts=[load.prompts[p] for p in order])
    with kept(load.policy), load.precision(), meter.running():
        with meter.phase("sample"):
            done = published_completions(inner, which)
            load.policy.tokenizer.batch_decode(done.tolist(), skip_special_tokens=True)
        _learn(inner, meter, done.view(prompts, group, -1))
    _tell(load, meter, done, sampled=True)


def _learn(load: Workload, meter: Meter, completions: Tensor) -> None:
    """Log-probs and μ updates of completions [P, G, C]."""
    clip = float(load.cfg.algo.trainer.get("gradient_clip_val") or torch.inf)
    update, masks = PublishedUpdate(load.algorithm, clip), _generator(load, "masks")
    problems = [prompt.problem for prompt in load.prompts for _ in range(completions.shape[1])]
    rewards = load.algorithm.reward(problems, [""] * len(problems)).total.view(completions.shape[:2])
    advantages = (rewards - rewards.mean(1, keepdim=True)).to(load.device)
    with meter.phase("log-probs"):
        known = update.logprobs(load.policy, load.prompts, completions, masks)
    with meter.phase("update"):
        update.updates(load.policy, load.prompts, completions, advantages, known, masks)


def _tell(load: Workload, meter: Meter, done: Tensor, sampled: bool) -> None:
    meter.turn.tokens = done.numel()
    if sampled:  # every row at every step
        meter.turn.row_forwards = done.numel() // done.shape[-1] * load.algorithm.sampler.steps


def _width(load: Workload) -> Callable[[int], int]:
    return lambda p: len(load.prompts[p].ids)


def _generator(load: Workload, purpose: str) -> torch.Generator:
    return torch_rng(load.algorithm.seed, "bench", purpose, device=load.device)


@dataclass(frozen=True)
class Filled:
    """A sampler that takes no time: its tokens are random, and no model is called."""

    length: int
    seed: int
    temperature: float = 1.0

    def greedy(self) -> Filled:
        return self

    def __call__(
        self,
        policy: Policy,
        canvas: Tensor,
        attention: Tensor | None,
        seeds: Any,
        *,
        keep_going: Callable[[bool], bool] = bool,
    ) -> Samples:
        empty = canvas == policy.mask_id
        size = policy.network.config.vocab_size
        generator = torch_rng(self.seed, "bench", "filled")
        drawn = torch.randint(size, canvas.shape, generator=generator, dtype=torch.long, device="cpu")
        tokens = torch.where(empty, drawn.to(canvas.device), canvas)
        return Samples(tokens, torch.where(empty, 0, -1).to(torch.int32))


@contextmanager
def kept(policy: Policy) -> Iterator[None]:
    """After this context the policy has the weights, and no gradients, that it had before."""
    trained = {name: weight for name, weight in policy.named_parameters() if weight.requires_grad}
    before = {name: weight.detach().to("cpu", copy=True) for name, weight in trained.items()}
    device = next(policy.parameters()).device
    try:
        yield
    finally:
        policy.to(device)  # a fit leaves it on the CPU
        with torch.no_grad():
            for name, weight in policy.named_parameters():
                weight.grad = None
                if name in before:
                    weight.copy_(before[name])


_OURS = {"sampling": _sample, "update": _update, "iteration": _iterate}
_PUBLISHED = {"sampling": _publish_sample, "update": _publish_update, "iteration": _publish_iteration}

"""Contenders, and the work of this package's own: sampling, an update and an iteration, as in a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch.callbacks import LambdaCallback
from torch import Tensor

from .. import progress
from ..algos import Algorithm
from ..data import RolloutDataModule
from ..models import Policy
from ..sampling.canvas import collate
from ..sampling.generate import generate
from ..seeding import derive, torch_rng
from ..training import PolicyOptimization
from ..types import Prompt, Rollout, Samples
from .meter import Meter
from .workload import Workload, kept, trainer_of

Work = Callable[[Workload, Meter], None]


@dataclass(frozen=True)
class Contender:
    """Something that is measured.

    Attributes:
        what: sampling, update or iteration.
        name: Its case; "published" is what the others are compared with.
        changes: Overrides of its case, or words about what it is.
        load: Its settings on the weights and prompts of all.
        work: Does it once, with the meter running around it, and tells the meter what was made.
        own_network: Whether it computes with another network than the load's.
    """

    what: str
    name: str
    changes: list[str]
    load: Workload
    work: Work
    own_network: bool = False


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
    rollout = _fitted(load, load.algorithm, meter)
    meter.turn.row_forwards = int(rollout.metrics["row_forwards"])


def _update(load: Workload, meter: Meter) -> None:
    own = load.algorithm
    _fitted(load, replace(own, sampler=Filled(own.sampler.length, own.seed)), meter)


OURS: dict[str, Work] = {"sampling": _sample, "update": _update, "iteration": _iterate}


def _fitted(load: Workload, algorithm: Algorithm, meter: Meter) -> Rollout:
    """Make one rollout of all prompts and learn from it μ times, in Lightning's own loop.

    The weights are put back. The meter runs from the first batch to the last update.
    """
    module = PolicyOptimization(policy=load.policy, algorithm=algorithm)
    data = Given(load.prompts, algorithm)
    watch = LambdaCallback(
        on_train_start=lambda *_: meter.start(),
        on_train_end=lambda *_: meter.stop(),
    )
    trainer = trainer_of(
        load.cfg,
        max_epochs=1,
        gradient_clip_val=load.cfg.algo.trainer.get("gradient_clip_val"),
        callbacks=[watch],
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    with kept(load.policy), progress.observed(meter.observe):
        trainer.fit(module, datamodule=data)
    assert data.rollout is not None
    meter.turn.tokens = data.rollout.tokens.numel()
    meter.turn.phases["update"] = meter.turn.seconds - sum(meter.turn.phases.values())
    return data.rollout


class Given(RolloutDataModule):
    """The DataModule of a run whose training set is already encoded, and which holds nothing out.

    Args:
        prompts: The training set.
        algorithm: All the pieces.
    """

    def __init__(self, prompts: Sequence[Prompt], algorithm: Algorithm) -> None:
        nothing: Any = SimpleNamespace(train=(), val=(), test=(), dropped={})
        super().__init__(source=nothing, algorithm=algorithm)
        self._given = prompts

    def _whole(self, problems: Any) -> Sequence[Prompt]:
        return ()

    def _set_up_training(self) -> None:
        self._train = self._given


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

"""One rollout and its updates through Lightning's own loop, with the watch around the loop alone."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import lightning as L

from ..algos import Algorithm
from ..data import RolloutDataModule
from ..training import PolicyOptimization
from ..types import Prompt, Rollout
from .meter import Meter
from .workload import Workload, trainer_of


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


class Watch(L.Callback):
    """Starts a meter when everything is set up, and stops it after the last update."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.meter.start()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.meter.stop()


def fit_once(load: Workload, algorithm: Algorithm, meter: Meter) -> Rollout:
    """Make one rollout of all prompts and learn from it μ times; the weights change.

    Args:
        load: Weights and prompts.
        algorithm: Instead of the load's.
        meter: Runs from the first batch to the last update.
    """
    module = PolicyOptimization(policy=load.policy, algorithm=algorithm)
    data = Given(load.prompts, algorithm)
    clip = load.cfg.algo.trainer.get("gradient_clip_val")
    trainer = trainer_of(
        load.cfg,
        max_epochs=1,
        gradient_clip_val=clip,
        callbacks=[Watch(meter)],
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=data)
    assert data.rollout is not None
    return data.rollout

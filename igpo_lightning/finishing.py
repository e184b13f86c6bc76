"""Last steps of a stage: its training has ended, and the processes that trained still hold the weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from .distributed import barrier
from .models.sharding import save_policy


class Finish(Callback):
    """Takes ``steps``, in this order, in ``on_train_end``: the last moment at which the strategy is set up.

    When ``fit`` returns, and already in ``on_fit_end``, Lightning has taken it down: weights are on the
    host, shards are out of reach, and under NCCL no process can talk to another. It has to be the
    trainer's last callback: a guard that ends the run comes before it, and nothing is then taken.

    Args:
        steps: Called on every process with trainer and module.
    """

    def __init__(self, *steps: Callable[[Trainer, LightningModule], None]):
        self.steps = steps

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        for step in self.steps:
            step(trainer, module)


class SaveModel:
    """Writes the policy's weights to ``folder``; on every process it returns when they are there.

    Args:
        folder: Of the model.
        record: Called with ``folder`` on the first process, for what belongs beside the weights.
    """

    def __init__(self, folder: Path, record: Callable[[Path], None] = lambda folder: None):
        self.folder, self.record = folder, record

    def __call__(self, trainer: Trainer, module: Any) -> None:
        save_policy(module.policy, self.folder)
        if trainer.is_global_zero:
            self.record(self.folder)
        barrier(trainer.strategy.root_device)

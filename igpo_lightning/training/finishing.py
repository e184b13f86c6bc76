"""Last steps of a stage: its training has ended, and the processes that trained still hold the weights."""

from __future__ import annotations

from collections.abc import Callable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch.distributed.tensor import DTensor


class Finish(Callback):
    """Takes ``steps``, in this order, in ``on_train_end``: the last moment at which the strategy is set up.

    When ``fit`` returns, and already in ``on_fit_end``, Lightning has taken it down: weights are on the
    host, shards are out of reach, and under NCCL no process can talk to another. It has to be the
    trainer's last callback: a guard that ends the run comes before it, and nothing is then taken.

    After the last step the weights are given up: Lightning would carry them to the host, where nobody wants
    them, which takes 10 s for 16 GB.

    Args:
        steps: Called on every process with trainer and module.
    """

    def __init__(self, *steps: Callable[[Trainer, LightningModule], None]):
        self.steps = steps

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        for step in self.steps:
            step(trainer, module)
        give_up_weights(trainer, module)


def give_up_weights(trainer: Trainer, module: LightningModule) -> None:
    """Free the memory of weights, gradients and optimizer states, whoever still refers to them.

    Shards of FSDP2 stay: it has its own hold on them, and nobody moves them.
    """
    for optimizer in trainer.optimizers:
        optimizer.state.clear()
    for parameter in module.parameters():
        if not isinstance(parameter, DTensor):
            parameter.grad, parameter.data = None, parameter.data.new_empty(0)

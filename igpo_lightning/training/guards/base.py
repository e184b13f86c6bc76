"""Base of all guards: an alarm, and what is done about it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from hydra.errors import CompactHydraException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_warn

from ...checks import choice, positive_int
from ...reporting.callbacks import RolloutProgress
from ...run_folder import how_to_go_on
from ..checkpoints import save_now

Action = Literal["warn", "skip", "stop"]
WARN, SKIP, STOP = get_args(Action)
UPDATES_PER_ROLLOUT = 10  # updates of supervised training that count as one rollout between two messages


class GuardStop(CompactHydraException):
    """A guard ended the run. Hydra prints it as one line, without a traceback; the exit code is 1."""


class Guard(Callback):
    """Looks at every rollout and every update, and raises an alarm.

    A subclass says what is wrong in :meth:`inspect_rollout` or :meth:`inspect_update`. Both are called
    equally often on every process, and must return the same verdict on all of them. What a guard
    remembers is part of the checkpoint, so a resumed run raises the alarms of the uninterrupted one.

    Args:
        action: ``warn`` prints; ``skip`` also drops the update: without gradients the optimiser
            touches neither weights nor momentum, and no weight decay acts (the schedule of the
            learning rate counts the update); ``stop`` also saves a checkpoint and ends the run with
            :class:`GuardStop`. An alarm about a rollout holds for all updates of that rollout.
        repeat_every: Least distance between two messages, in rollouts (in supervised training, in
            tens of updates). The number of alarms is logged as ``guard/<name>`` all the same.
    """

    name = "guard"  # its key under ``callbacks``, and of its metric
    remembers: tuple[str, ...] = ()  # attributes of a subclass that belong in the checkpoint

    def __init__(self, action: Action = WARN, repeat_every: int = 10) -> None:
        self.action = choice(f"callbacks.{self.name}.action", action, WARN, SKIP, STOP)
        self.repeat_every = positive_int(f"callbacks.{self.name}.repeat_every", repeat_every)
        self.alarms = 0
        self.in_a_row = 0  # bad rollouts or updates, for a subclass to count
        self.rollout: int | None = None  # the rollout being trained on
        self.bad_rollout = False
        self.told: int | None = None  # when the last message was printed
        self.dropped: int | None = None  # the last update that this guard dropped, from 0
        self._ends_update = True
        self._stopping: str | None = None

    def inspect_rollout(self, trainer: Trainer, pl_module: Any, batch: Any) -> str | None:
        """Name what is wrong with the rollout that ``batch`` begins; None: nothing."""
        return None

    def inspect_update(self, trainer: Trainer, pl_module: Any) -> str | None:
        """Name what is wrong with the update that is about to happen; None: nothing."""
        return None

    def severity(self) -> str:
        """The action that an alarm calls for now."""
        return self.action

    def reset(self) -> None:
        """Forget what led to a stop, so that the run that is resumed is not stopped at once."""
        self.in_a_row = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._ends_update = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        rollout = getattr(batch, "index", None)
        if rollout is not None and rollout != self.rollout:
            self.rollout = rollout
            finding = self.inspect_rollout(trainer, pl_module, batch)
            self.bad_rollout = finding is not None
            if finding:
                self.alarm(trainer, pl_module, finding)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        # DeepSpeed accumulates by itself: Lightning then calls this for every micro-batch.
        if trainer.strategy.handles_gradient_accumulation and not self._ends_update:
            return
        finding = self.inspect_update(trainer, pl_module)
        if finding:
            self.alarm(trainer, pl_module, finding)
        if (finding or self.bad_rollout) and self.action != WARN:
            self.dropped = trainer.global_step
            drop_update(trainer, pl_module)

    def alarm(self, trainer: Any, pl_module: Any, finding: str, late: bool = False) -> None:
        """Count ``finding``, say it unless that was done a short time ago, and see to a stop.

        ``late``: The update is over.
        """
        self.alarms += 1
        action, update = self.severity(), trainer.global_step - late
        where, now = f"update {update + 1}", update // UPDATES_PER_ROLLOUT
        if self.rollout is not None:
            where, now = f"rollout {self.rollout + 1}, {where}", self.rollout
        if self.told is None or now - self.told >= self.repeat_every:
            self.told = now
            done = {WARN: "", SKIP: "; the update is dropped", STOP: "; stopping"}[action]
            callbacks = trainer.callbacks
            say = next((c.print for c in callbacks if isinstance(c, RolloutProgress)), rank_zero_warn)
            say(f"warning (callbacks.{self.name}): {where}: {finding}{done}")
        # By themselves: a run that stops here logs nothing more.
        pl_module.publish("guard", {self.name: float(self.alarms)}, update)
        if action == STOP:
            self._stopping = f"{where}: {finding}"

    def between_updates(self, trainer: Trainer) -> None:
        """End the run if an alarm asked for it."""
        if self._stopping is None:
            return
        finding, self._stopping = self._stopping, None
        self.reset()
        path = save_now(trainer)
        sweep_dir = trainer.lightning_module.hparams.get("sweep_dir")
        if not trainer.is_global_zero:
            raise GuardStop(f"process {trainer.global_rank}: stopped with the first one")
        raise GuardStop(
            f"error: callbacks.{self.name}: {finding}; stopped after update {trainer.global_step}, which was "
            f"dropped. Checkpoint: {path}; to go on, " + how_to_go_on(trainer.default_root_dir, sweep_dir)
        )

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.between_updates(trainer)  # there is no further update to come before

    def state_dict(self) -> dict[str, Any]:
        names = ("alarms", "in_a_row", "rollout", "bad_rollout", "told", *self.remembers)
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


def drop_update(trainer: Trainer, pl_module: LightningModule) -> None:
    """Take its gradients away from the update that is about to happen; all processes must call.

    DeepSpeed keeps gradients of its own, which can't be taken away; but it drops an update whose norm
    is not finite, so one of them is made that.
    """
    trainable = [p for p in pl_module.parameters() if p.requires_grad]
    if hasattr(trainer.model, "zero_optimization_stage"):
        from deepspeed.utils import safe_set_full_grad

        shape = getattr(trainable[0], "ds_shape", trainable[0].shape)  # of ZeRO-3, which splits parameters
        bad = torch.full(shape, torch.nan, dtype=torch.float32, device=pl_module.device)
        safe_set_full_grad(trainable[0], bad)
    for parameter in trainable:
        parameter.grad = None

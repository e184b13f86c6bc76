"""Base of all guards: raises an alarm, then warns, drops the update, or saves and stops."""

from __future__ import annotations

import warnings
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.errors import CompactHydraException
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ..callbacks import RolloutProgress
from ..checkpoints import save_now
from ..checks import ACTIONS, choice, positive_int
from ..distributed import gather

WARN, SKIP, STOP = ACTIONS
STEPS_PER_WINDOW = 10  # updates of supervised training that count as one window between two messages


class GuardStop(CompactHydraException):
    """A guard ended the run. Hydra prints it as one line, without a traceback; the exit code is 1."""


class Guard(Callback):
    """Looks at every rollout window and every update, and raises an alarm.

    A subclass says what is wrong in :meth:`inspect_window` or :meth:`inspect_update`. Both are called
    equally often on every process, and must return the same verdict on all of them: use
    :func:`per_rank`. What a guard remembers is part of the checkpoint, so a resumed run raises the
    alarms of the uninterrupted one.

    Args:
        action: ``warn`` prints; ``skip`` also drops the update: without gradients the optimiser
            touches neither weights nor momentum, and no weight decay acts (the schedule of the
            learning rate counts the update); ``stop`` also saves a checkpoint and ends the run with
            :class:`GuardStop`. An alarm about a window holds for all updates of that window.
        repeat_every: Least distance between two messages, in windows (in supervised training, in
            tens of updates). The number of alarms is logged as ``guard/<name>`` all the same.
    """

    name = "guard"  # its key under ``callbacks``, and of its metric
    remembers: tuple[str, ...] = ()  # attributes of a subclass that belong in the checkpoint

    def __init__(self, action: str = WARN, repeat_every: int = 10) -> None:
        self.action = choice(f"callbacks.{self.name}.action", action, *ACTIONS)
        self.repeat_every = positive_int(f"callbacks.{self.name}.repeat_every", repeat_every)
        self.alarms = 0
        self.window: int | None = None  # the window being trained on
        self.verdict: str | None = None  # what is wrong with it
        self.told_verdict = False  # an alarm about a window is one alarm, however many updates it has
        self.told: int | None = None  # when the last message was printed
        self.dropped: int | None = None  # the last update that this guard dropped, from 0
        self._batch: Any = None
        self._ends_update = True
        self._stopping: str | None = None

    def inspect_window(self, trainer: pl.Trainer, pl_module: Any, batch: Any) -> str | None:
        """Describe a fault of the window that ``batch`` begins; None if there is none."""
        return None

    def inspect_update(self, trainer: pl.Trainer, pl_module: Any, batch: Any) -> str | None:
        """Describe a fault of the coming update, of which ``batch`` is the last micro-batch; else None."""
        return None

    def severity(self) -> str:
        """The action that this alarm calls for."""
        return self.action

    def reset(self) -> None:
        """Forget what led to a stop, so that the run that is resumed is not stopped at once."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._batch = batch
        self._ends_update = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        window = getattr(batch, "window", None)
        if window is not None and window != self.window:
            self.window = window
            self.verdict = self.inspect_window(trainer, pl_module, batch)
            self.told_verdict = False

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        # DeepSpeed accumulates by itself: Lightning then calls this for every micro-batch.
        if trainer.strategy.handles_gradient_accumulation and not self._ends_update:
            return
        if finding := self.inspect_update(trainer, pl_module, self._batch):
            self.alarm(trainer, pl_module, finding)
        elif self.verdict and not self.told_verdict:
            self.told_verdict = True
            self.alarm(trainer, pl_module, self.verdict)
        elif self.verdict and self.action != WARN:
            self._drop(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batch = None

    def between_updates(self, trainer: pl.Trainer) -> None:
        self._stop_if_asked(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._stop_if_asked(trainer)  # there is no further update to come before

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if self._stopping is None:
            return
        finding, self._stopping = self._stopping, None
        self.reset()
        path = save_now(trainer)
        if not trainer.is_global_zero:
            raise GuardStop(f"process {trainer.global_rank}: stopped with the first one")
        raise GuardStop(
            f"error: callbacks.{self.name}: {finding}; stopped after update {trainer.global_step}, which was "
            f"dropped. Checkpoint: {path}; to go on, repeat the command with "
            f"output_dir={trainer.default_root_dir} resume=auto"
        )

    def alarm(self, trainer: pl.Trainer, pl_module: Any, finding: str, late: bool = False) -> None:
        """Count ``finding``, say it unless that was done a short time ago, and act.

        ``late``: The update is over; there is nothing to drop.
        """
        self.alarms += 1
        action, update = self.severity(), trainer.global_step - late
        where, now = f"update {update + 1}", update // STEPS_PER_WINDOW
        if self.window is not None:
            where, now = f"rollout {self.window + 1}, {where}", self.window
        if self.told is None or now - self.told >= self.repeat_every:
            self.told = now
            done = {WARN: "", SKIP: "; the update is dropped", STOP: "; stopping"}[action]
            announce(trainer, f"warning (callbacks.{self.name}): {where}: {finding}{done}")
        log_count(trainer, pl_module, f"guard/{self.name}", self.alarms, update)
        if action != WARN and not late:
            self._drop(trainer, pl_module)
        if action == STOP:
            self._stopping = f"{where}: {finding}"

    def _drop(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.dropped = trainer.global_step
        drop_update(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        names = ("alarms", "window", "verdict", "told_verdict", "told", *self.remembers)
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)


def per_rank(pl_module: Any, values: Tensor) -> list[list[float]]:
    """``values`` [K] of every process, in one collective: [ranks][K]. All processes must call."""
    return gather(values.float(), pl_module.device).tolist()


def announce(trainer: pl.Trainer, text: str) -> None:
    """One line, above the progress line if there is one; from the first process only."""
    if not trainer.is_global_zero:
        return
    progress = next((c for c in trainer.callbacks if isinstance(c, RolloutProgress)), None)
    if progress is None:
        warnings.warn(text, stacklevel=2)
    else:
        progress.print(text)


def log_count(trainer: pl.Trainer, pl_module: Any, name: str, count: int, update: int) -> None:
    """Log a running count with its update, also if that is the run's last."""
    pl_module.log(name, float(count), logger=False, batch_size=1)  # for callbacks
    for logger in trainer.loggers:  # by themselves: a run that stops here logs nothing more
        logger.log_metrics({name: float(count)}, step=update)


def drop_update(trainer: pl.Trainer, pl_module: Any) -> None:
    """Take its gradients away from the update that is about to happen; all processes must call.

    DeepSpeed keeps gradients of its own, which can't be taken away; but it drops an update whose norm
    is not finite, so one of them is made that.
    """
    trainable = [p for p in pl_module.parameters() if p.requires_grad]
    if hasattr(trainer.model, "zero_optimization_stage"):
        from deepspeed.utils import safe_set_full_grad

        shape = getattr(trainable[0], "ds_shape", trainable[0].shape)  # of ZeRO-3, which splits parameters
        safe_set_full_grad(
            trainable[0], torch.full(shape, torch.nan, dtype=torch.float32, device=pl_module.device)
        )
    for parameter in trainable:
        parameter.grad = None

"""Record of a stage besides its metrics: config and provenance at its start, accuracies at its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from omegaconf import DictConfig

from .. import provenance
from ..checks import ConfigError
from ..evaluation.heldout import HeldOutAccuracy
from ..reporting.summary import AFTER, BEFORE, TEST
from ..reporting.summary import FILE as SUMMARY
from .resuming import use_options
from .resumption import LENGTHS, Resumption


class StageRecord(Callback):
    """Writes config and provenance when training starts: all that could be refused has been by then.

    Args:
        cfg: The stage's config.
        resumption: Where it goes on; it then says so.
        heldout: Knows the accuracies that go to loggers with a ``log_outcome``.
        started: When this process began with the stage, by ``time.perf_counter``.
    """

    def __init__(self, cfg: DictConfig, resumption: Resumption, heldout: HeldOutAccuracy, started: float):
        self.cfg, self.resumption, self.heldout, self.started = cfg, resumption, heldout, started
        self._before = 0.0  # seconds of the processes before this one

    @property
    def seconds(self) -> float:
        """Wall time of the stage so far, in all its processes.

        Of those before this one it counts what was spent up to the checkpoint that this one goes on from.
        """
        return self._before + time.perf_counter() - self.started

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._before = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        done = trainer.global_step
        planned = int(trainer.num_training_batches // trainer.accumulate_grad_batches)
        if done > planned:
            raise ConfigError(
                f"resume={self.resumption.checkpoint}: it is after update {done}, and this run ends after "
                f"{planned}; raise {' or '.join(LENGTHS)}, or take an earlier checkpoint"
            )
        if self.resumption.relearns:
            use_options(module, done)
        if trainer.is_global_zero:
            folder = Path(self.cfg.output_dir)
            (folder / SUMMARY).unlink(missing_ok=True)  # of the same run, when it was to be shorter
            provenance.write(folder, self.cfg)
            if self.resumption.settings:
                print(self._where(done, planned), flush=True)

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        heldout = self.heldout
        known = {BEFORE: heldout.before, AFTER: heldout.after, TEST: heldout.test}
        outcome = {name: accuracy.value for name, accuracy in known.items() if accuracy}
        for logger in trainer.loggers:
            if log := getattr(logger, "log_outcome", None):
                log(outcome)

    def _where(self, done: int, planned: int) -> str:
        at = self.resumption.checkpoint
        where = (
            f"after update {done} of {planned} ({at})" if at else "from the start: there is no checkpoint yet"
        )
        changes = "; ".join(map(str, self.resumption.changes)) or "nothing"
        return f"going on {where}; changed: {changes}"

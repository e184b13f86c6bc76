"""Checkpoints: written between updates, whole or not at all; the newest undamaged one can be found."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy, Strategy

from ..checks import ConfigError, positive_int
from ..distributed import agree_any, agree_max, barrier
from ..files import sync
from ..stopping import Stopped, forget, listen, stop_requested
from .checkpoint_files import ABANDONED, BEST, MANIFEST, content_of, kind_of, numbered, remove, set_aside

PARTIAL = ".partial"  # what is still being written


class Checkpoints(Checkpoint):
    """Keeps the newest checkpoints of a run, and the best one.

    It saves when the DataModule is about to fetch the next update's first batch: everything of the
    updates before is then done and logged, their validation included, so that a resumed run logs the
    very rows that the uninterrupted one does. (Lightning's ``ModelCheckpoint`` saves within a batch,
    before its metrics reach the loggers.) A checkpoint appears under its name only when it is complete.

    On SIGTERM or Ctrl-C it saves and ends the run. One that goes on from an earlier checkpoint than its last
    sets the later ones aside, in ``folder/abandoned``.

    Args:
        folder: Where they go, as ``update-00000100.ckpt``; a file, or a folder if the strategy shards.
        every: Updates from one to the next.
        keep: How many of the newest are kept; older ones are deleted.
        best: Metric of which ``best.ckpt`` has the largest value; None keeps no best one.
    """

    def __init__(self, folder: str | Path, every: int = 100, keep: int = 2, best: str | None = None):
        self.folder = Path(folder)
        self.every = positive_int("callbacks.checkpoint.every", every)
        self.keep = positive_int("callbacks.checkpoint.keep", keep)
        self.best = best
        self._best_value = float("-inf")
        self._improved = False
        self._saved: int | None = None  # update of the last checkpoint
        self._begun = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if _kind(trainer.strategy) == "file":
            trainer.strategy.checkpoint_io = DirectIO()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = trainer.global_step  # a resumed run need not save what it has just read
        self._begun = False

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, index: int
    ) -> None:
        self._set_aside(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = trainer.callback_metrics.get(self.best) if self.best else None
        if value is not None and float(value) > self._best_value:
            self._best_value, self._improved = float(value), True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(trainer, due=True)
        forget()

    def between_updates(self, trainer: Trainer) -> None:
        """Called by the DataModule before it fetches an update's first batch."""
        listen()
        self._keep(trainer, due=trainer.global_step % self.every == 0)

    def _set_aside(self, trainer: Trainer) -> None:
        """Once, and no earlier than by when nobody refuses the run any more."""
        if self._begun:
            return
        self._begun = True
        later = set_aside(self.folder, trainer.global_step) if trainer.is_global_zero else []
        if later:
            print(
                f"going on after update {trainer.global_step}: {', '.join(path.name for path in later)} went "
                f"to {self.folder / ABANDONED}; delete it, if they are not wanted",
                flush=True,
            )
        if agree_any(any(path.name == BEST for path in later), trainer.strategy.root_device):
            self._best_value = float("-inf")  # of what is kept from here on

    def _keep(self, trainer: Trainer, due: bool) -> None:
        """Save what has to be saved between two updates, and end here if that was asked for."""
        self._set_aside(trainer)
        stop = agree_max(stop_requested(), trainer.strategy.root_device)
        if self._improved:
            self._improved = False
            self._save(trainer, BEST)
        if stop or due:
            self.save(trainer)
        if stop:
            raise Stopped(f"stopped after update {trainer.global_step}", by=stop)

    def save(self, trainer: Trainer) -> Path:
        """Save now, unless that was done at this update, and delete the oldest; all processes must call."""
        path = self.folder / f"update-{trainer.global_step:08d}.ckpt"
        if trainer.global_step != self._saved:
            self._save(trainer, path.name)
            self._saved = trainer.global_step
            if trainer.is_global_zero:
                for old in numbered(self.folder)[self.keep :]:
                    remove(old)
        return path

    def _save(self, trainer: Trainer, name: str) -> None:
        final, partial = self.folder / name, self.folder / (name + PARTIAL)
        if trainer.is_global_zero:
            remove(partial)
            self.folder.mkdir(parents=True, exist_ok=True)
        barrier(trainer.strategy.root_device)
        try:
            trainer.save_checkpoint(partial)
        except (OSError, RuntimeError) as error:
            if trainer.is_global_zero:
                remove(partial)
            kept = numbered(self.folder)
            raise ConfigError(
                f"checkpoint {final}: could not be written: {error}; "
                + (f"{kept[0].name} is intact: " if kept else "")
                + "make room, and repeat the command with resume=auto"
            ) from error
        if trainer.is_global_zero:
            settings = dict(trainer.lightning_module.hparams)
            said = {"update": trainer.global_step, "processes": trainer.world_size, "settings": settings}
            _finish(partial, final, said)
        barrier(trainer.strategy.root_device)

    def state_dict(self) -> dict[str, Any]:
        return {"best_value": self._best_value}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best_value = state_dict["best_value"]


def save_now(trainer: Any) -> Path:
    """A checkpoint that ``resume=auto`` finds; all processes must call, between two updates."""
    keepers = [callback for callback in trainer.callbacks if isinstance(callback, Checkpoints)]
    keeper = keepers[0] if keepers else Checkpoints(Path(trainer.default_root_dir) / "checkpoints")
    return keeper.save(trainer)


class DirectIO(TorchCheckpointIO):
    """Writes straight to its file: Lightning's own holds a second copy of everything in memory first."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with open(path, "wb") as file:
            torch.save(checkpoint, file)
            file.flush()
            os.fsync(file.fileno())


def check_strategy(path: Path, strategy: Any) -> None:
    """Refuse a checkpoint that this strategy can't read.

    Raises:
        ConfigError: It says which strategies can.
    """
    kind = kind_of(path)
    readers = {"file": "all but DeepSpeed", "deepspeed": "DeepSpeed", "distributed": "FSDP"}
    own = _kind(strategy)
    if kind != own and not (kind == "file" and own == "distributed"):
        raise ConfigError(
            f"resume={path}: was written by another strategy than hardware={own}; it can be read by "
            f"{readers[kind]}. python -m igpo_lightning.export makes a model folder of it, for model.path"
        )
    if kind == "deepspeed":
        wrote, now = content_of(path)["processes"], strategy.world_size
        if wrote != now:
            raise ConfigError(
                f"resume={path}: was written by {wrote} processes, and DeepSpeed reads it with as many, not "
                f"{now}. python -m igpo_lightning.export makes a model folder of it, for model.path"
            )


def _kind(strategy: Strategy) -> str:
    """Kind of a strategy's checkpoints: a "file", or a folder of "deepspeed" or "distributed" parts."""
    if isinstance(strategy, DeepSpeedStrategy):
        return "deepspeed"
    return "distributed" if isinstance(strategy, ModelParallelStrategy) else "file"


def _finish(partial: Path, final: Path, said: Mapping[str, Any]) -> None:
    """Give a checkpoint that is written its name, in one step.

    Args:
        said: What the manifest of a folder says beside its files.
    """
    if partial.is_dir():
        files = [path for path in partial.rglob("*") if path.is_file()]
        for path in files:
            sync(path)
        sizes = {str(path.relative_to(partial)): path.stat().st_size for path in files}
        (partial / MANIFEST).write_text(json.dumps({**said, "files": sizes}, indent=1, default=str))
        sync(partial / MANIFEST)
        remove(final)  # os.replace takes the place of a file only
    os.replace(partial, final)
    sync(final.parent)

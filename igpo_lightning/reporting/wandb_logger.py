"""W&B: one run for each stage of a training run, and one group for what belongs together."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from igpo_lightning.sweeping.record import FILE as JOB


class WandbLogger(LightningWandbLogger):
    """As Lightning's, which leaves its run open: the process's next logger would write into the same one."""

    def __init__(self, *, save_dir: str | Path = ".", **options: Any) -> None:
        # W&B's own process writes the files, and lives in the folder in which it was first started.
        super().__init__(save_dir=str(Path(save_dir).absolute()), **options)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None

    @rank_zero_only
    def log_outcome(self, numbers: dict[str, Any]) -> None:
        """Put figures of the whole run into its summary."""
        self.experiment.summary.update(numbers)


def identify(cfg: DictConfig) -> None:
    """Fill in what ``logger.wandb`` leaves open: id, name and group of this stage's run.

    A resumed stage has the id that its config.yaml keeps. The jobs of a sweep are one group, and so are
    the stages of a run.
    """
    own = OmegaConf.select(cfg, "logger.wandb")
    if own is None:
        return
    folder = Path(cfg.output_dir).absolute()
    former = folder / "config.yaml"
    kept = OmegaConf.load(former) if cfg.resume and former.is_file() else None
    with open_dict(cfg):
        if own.id is None:
            own.id = (kept and OmegaConf.select(kept, "logger.wandb.id")) or secrets.token_hex(4)
        own.name = own.name or f"{cfg.algo.name} · {folder.name}"
        own.group = own.group or _group(folder)


def for_warm_start(cfg: DictConfig, stage: str) -> None:
    """Tell the W&B run of a stage that comes first from the one of the run whose config this is."""
    own = OmegaConf.select(cfg, "logger.wandb")
    if own is None:
        return
    folder = Path(cfg.output_dir).absolute()
    with open_dict(cfg):
        own.group = own.group or _group(folder)
        own.name = f"{own.name} · {stage}" if own.name else f"{stage} · {folder.name}"
        own.id = own.id and f"{own.id}-{stage}"


def _group(folder: Path) -> str:
    """The sweep whose job has this folder, or the run itself."""
    whole = folder.parent if (folder / JOB).is_file() else folder
    return f"{whole.parent.name}/{whole.name}"

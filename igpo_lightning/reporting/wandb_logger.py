"""W&B: one run for each stage of a training run, and one group for what belongs together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from igpo_lightning.cli.plain import one_line
from igpo_lightning.config import saved_config
from igpo_lightning.reporting.panels import COMPLETIONS, REPORT
from igpo_lightning.sweeping.record import FILE as JOB

_waiting: list[list[Any]] = []  # for each kept_open that lasts, the runs that ended in it


class WandbLogger(LightningWandbLogger):
    """As Lightning's, which leaves its run open: the process's next logger would write into the same one."""

    def __init__(self, *, save_dir: str | Path = ".", **options: Any) -> None:
        # W&B's own process writes the files, and lives in the folder in which it was first started.
        super().__init__(save_dir=str(Path(save_dir).absolute()), **options)
        self._cost: dict[str, float] = {}
        if self._wandb_init.get("anonymous") is None:  # W&B has it no more, and warns where it is passed
            self._wandb_init.pop("anonymous", None)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log them beside the completions sampled so far: W&B draws one along the other within a row only."""
        if COMPLETIONS in metrics:
            self._cost = {COMPLETIONS: metrics[COMPLETIONS]}
        super().log_metrics({**self._cost, **metrics}, step)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._experiment is not None:
            if status == "success" and _waiting:
                _waiting[-1].append(self._experiment)
            else:
                self._experiment.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None

    @rank_zero_only
    def log_outcome(self, numbers: dict[str, Any]) -> None:
        """Put figures of the whole run into its summary."""
        self.experiment.summary.update(numbers)


@contextmanager
def kept_open() -> Iterator[Callable[[Path], None]]:
    """Keep a run that ends well open until the block ends; gives a function that puts a page into it.

    A run's report is written when its last stage has ended. To open the W&B run once more would be a second
    offline run of the same id, and uploading that writes over the first.
    """
    runs: list[Any] = []
    _waiting.append(runs)
    try:
        yield lambda page: _show(page, runs)
    finally:
        _waiting.pop()
        for run in runs:
            run.finish(exit_code=0)


def _show(page: Path, runs: list[Any]) -> None:
    for run in runs:
        try:
            import wandb

            run.log({REPORT: wandb.Html(str(page), inject=False)})
        except Exception as error:  # W&B's or the disk's: the training is done, and must not fail by it
            print(f"warning: {page} did not reach W&B ({one_line(error)})")


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
    kept = saved_config(former) if cfg.resume and former.is_file() else None
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

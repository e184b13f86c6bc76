"""A stage of a run with everything real about it but the weights: the objects, on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from omegaconf import DictConfig, OmegaConf

from .. import lineage
from ..checks import ConfigError
from ..config import build_algorithm, construct
from ..models import Policy
from ..models.skeleton import Skeleton, skeleton_of_new, skeleton_of_saved
from ..precision import check_precision
from ..training.policy_optimization import SPLIT
from .placement import Placement, place
from .tokens import ASSUMPTION, assumed_tokenizer

_SAMPLE = 2000  # training problems: their mean length is then known to a hundredth or two


@dataclass
class StandInTrainer:
    """The first process's trainer, as far as a module and a DataModule ask before training starts."""

    lightning_module: L.LightningModule
    datamodule: L.LightningDataModule
    world_size: int
    global_rank = global_step = 0
    is_global_zero = False  # it writes nothing
    limit_val_batches = 1.0


@dataclass(frozen=True)
class Widths:
    """Prompt lengths in tokens, sorted."""

    lengths: tuple[int, ...]

    @property
    def longest(self) -> int:
        return self.lengths[-1]

    def padded(self, rows: int) -> int:
        """Expected width of ``rows`` random prompts that are padded to the longest of them.

        E[max] of k draws is Σ x_(i) · ((i/n)^k - ((i-1)/n)^k).
        """
        shares = np.linspace(0, 1, len(self.lengths) + 1) ** rows
        return round(float(np.diff(shares) @ self.lengths))


@dataclass
class Plan:
    """A stage of a run, its model without weights."""

    cfg: DictConfig
    skeleton: Skeleton
    policy: Policy
    module: Any  # whatever the config names: a LightningModule and its data
    datamodule: Any
    placement: Placement
    widths: Widths
    warnings: list[str]  # of what would go wrong, or could not be found out here
    starts_measured: bool = False  # the accuracy it starts from is that of the stage before it
    is_last: bool = True  # what it ends with is tested


def plan_stage(cfg: DictConfig) -> Plan:
    """Build a stage as the run itself would, and refuse what the run would refuse.

    Raises:
        ConfigError: A setting is wrong, or the model, the data or the tokenizer does not fit it.
    """
    hardware: Any = OmegaConf.to_container(cfg.hardware, resolve=True)
    warnings = list(filter(None, [check_precision(hardware, trains=True)]))
    placement = place(hardware)
    for callback in (cfg.callbacks or {}).values():
        if callback is not None and "_target_" in callback:
            construct(callback)
    algorithm = build_algorithm(cfg)
    datamodule = algorithm.datamodule(algorithm=algorithm)
    datamodule.sample = _SAMPLE
    lineage.check(
        cfg.model.path, datamodule.source, OmegaConf.select(cfg, "data.on_other_split", default="error")
    )
    skeleton, tokenizer = _model(cfg, datamodule.source, warnings)
    skeleton = skeleton.converted(placement.cast)
    policy = skeleton.policy(tokenizer)
    module = algorithm.module(policy=policy, algorithm=algorithm)
    if policy.moving is not None and placement.stage >= 3:
        raise ConfigError(SPLIT)
    module.trainer = datamodule.trainer = StandInTrainer(module, datamodule, placement.world)
    datamodule.setup("fit")
    datamodule.train_dataloader()  # the schedule checks how rollouts divide over processes
    if placement.assumed:
        warnings.append(
            f"hardware.devices={cfg.hardware.devices}: no GPU here to count; {placement.devices} are assumed"
        )
    widths = Widths(tuple(sorted(len(prompt.ids) for prompt in datamodule._train)))
    return Plan(cfg, skeleton, policy, module, datamodule, placement, widths, warnings)


def _model(cfg: DictConfig, source: Any, warnings: list[str]) -> tuple[Skeleton, Any]:
    """The skeleton and a tokenizer; ``warnings`` grows by what the run will miss."""
    path = cfg.model.path
    lora: Any = OmegaConf.to_container(cfg.model.lora) if cfg.model.lora else None
    if path is None:
        if cfg.model.create is None:
            raise ConfigError("model.path: this model has no weights of its own; give a folder or a hub id")
        tokenizer = construct(cfg.data.tokenizer)(source)
        return skeleton_of_new(construct(cfg.model.create), tokenizer, lora), tokenizer
    skeleton, tokenizer = skeleton_of_saved(path, lora=lora, **construct(cfg.model.load).keywords)
    if tokenizer is None:
        tokenizer = assumed_tokenizer(path)
        warnings.append(
            f"model.path={path}: no tokenizer that can be read; a run would stop here. "
            f"Token counts below assume {ASSUMPTION}"
        )
    if Path(path).is_dir() and not any(Path(path).glob("*.safetensors")):
        warnings.append(f"model.path={path}: no weights there (*.safetensors); a run would stop here")
    return skeleton, tokenizer

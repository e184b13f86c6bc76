"""A stage of a run with everything real about it but the weights: the objects, on the meta device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from .. import lineage
from ..checks import ConfigError
from ..models import Policy
from ..models.skeleton import Skeleton, skeleton_of_new, skeleton_of_saved
from ..precision import check_precision
from .placement import Placement, place
from .tokens import ASSUMPTION, assumed_tokenizer


class StandInTrainer:
    """The first process's trainer, as far as a module and a DataModule ask before training starts."""

    global_rank = global_step = 0
    is_global_zero = False  # it writes nothing
    limit_val_batches = 1.0
    accumulate_grad_batches = 1
    val_check_interval: int | None = None

    def __init__(self, module: L.LightningModule, datamodule: L.LightningDataModule, world: int):
        self.lightning_module, self.datamodule, self.world_size = module, datamodule, world


@dataclass(frozen=True)
class Widths:
    """Prompt lengths in tokens, sorted."""

    lengths: tuple[int, ...]

    @property
    def mean(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    @property
    def longest(self) -> int:
        return self.lengths[-1]

    @property
    def ragged(self) -> bool:
        return self.lengths[0] != self.lengths[-1]

    def padded(self, rows: int) -> int:
        """Expected width of ``rows`` random prompts that are padded to the longest of them.

        E[max] of k draws is Σ x_(i) · ((i/n)^k - ((i-1)/n)^k).
        """
        n = len(self.lengths)
        shares = ((i / n) ** rows for i in range(n + 1))
        last, width = next(shares), 0.0
        for length, share in zip(self.lengths, shares, strict=True):
            width += length * (share - last)
            last = share
        return round(width)


@dataclass
class Plan:
    """A stage of a run.

    Attributes:
        cfg: Its config.
        skeleton, policy: The model, without weights.
        module, datamodule: As the run would have them.
        placement: On what they run.
        widths: Of its training prompts.
        warnings: What would go wrong, or could not be found out here.
        starts_measured: The accuracy it starts from is that of the stage before it.
        is_last: No stage follows, so what it ends with is tested.
    """

    cfg: DictConfig
    skeleton: Skeleton
    policy: Policy
    module: L.LightningModule
    datamodule: L.LightningDataModule
    placement: Placement
    widths: Widths
    warnings: list[str]
    starts_measured: bool = False
    is_last: bool = True

    @property
    def name(self) -> str:
        return self.cfg.algo.name

    @property
    def assumes_tokens(self) -> bool:
        """True if token counts are of an assumed tokenizer."""
        return any(ASSUMPTION in warning for warning in self.warnings)


def plan_stage(cfg: DictConfig) -> Plan:
    """Build a stage as the run itself would, and refuse what the run would refuse.

    Raises:
        ConfigError: A setting is wrong, or the model, the data or the tokenizer does not fit it.
    """
    hardware = OmegaConf.to_container(cfg.hardware, resolve=True)
    warnings = list(filter(None, [check_precision(hardware, trains=True)]))
    placement = place(hardware)
    for callback in (cfg.callbacks or {}).values():
        if callback is not None and "_target_" in callback:
            instantiate(callback)
    datamodule = instantiate(cfg.algo.datamodule)
    lineage.check(
        cfg.model.path, datamodule.source, OmegaConf.select(cfg, "data.on_other_split", default="error")
    )
    skeleton, tokenizer = _model(cfg, datamodule.source, placement, warnings)
    policy = skeleton.policy(tokenizer)
    module = instantiate(cfg.algo.module, policy=policy)
    attach(module, datamodule, placement)
    datamodule.setup("fit")
    datamodule.train_dataloader()  # the schedule checks how windows divide over processes
    if placement.assumed:
        warnings.append(
            f"hardware.devices={cfg.hardware.devices}: no GPU here to count; {placement.devices} are assumed"
        )
    widths = Widths(tuple(sorted(len(prompt.ids) for prompt in training_prompts(datamodule))))
    return Plan(cfg, skeleton, policy, module, datamodule, placement, widths, warnings)


def attach(module: L.LightningModule, datamodule: L.LightningDataModule, placement: Placement) -> None:
    """Make ``datamodule`` and ``module`` find each other, as a trainer does."""
    module.trainer = datamodule.trainer = StandInTrainer(module, datamodule, placement.world)


def training_prompts(datamodule: L.LightningDataModule) -> Sequence[Any]:
    return datamodule._train


def _model(cfg: DictConfig, source: Any, placement: Placement, warnings: list[str]) -> tuple[Skeleton, Any]:
    """The skeleton and a tokenizer; ``warnings`` grows by what the run will miss."""
    lora = OmegaConf.to_container(cfg.model.lora) if cfg.model.lora else None
    if cfg.model.path is None:
        if cfg.model.create is None:
            raise ConfigError("model.path: this model has no weights of its own; give a folder or a hub id")
        tokenizer = instantiate(cfg.data.tokenizer)(source)
        skeleton = skeleton_of_new(instantiate(cfg.model.create), tokenizer, lora)
    else:
        options = instantiate(cfg.model.load).keywords
        skeleton, tokenizer = skeleton_of_saved(cfg.model.path, lora=lora, **options)
        if tokenizer is None:
            tokenizer = assumed_tokenizer(cfg.model.path)
            warnings.append(
                f"model.path={cfg.model.path}: no tokenizer that can be read; a run would stop here. "
                f"Token counts below assume {ASSUMPTION}"
            )
        if _lacks_weights(cfg.model.path):
            warnings.append(
                f"model.path={cfg.model.path}: no weights there (*.safetensors); a run would stop here"
            )
    return skeleton.converted(placement.cast), tokenizer


def _lacks_weights(path: str) -> bool:
    folder = Path(path)
    return folder.is_dir() and not any(folder.glob("*.safetensors"))

"""Estimates of memory, work and time of a training run, before it starts.

Nothing is written, and of a large model nothing but its config is read. The stage's own objects are
built around a network on the meta device, so a setting that the run would refuse is refused here.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from .estimate import estimate_time, verdict
from .loads import loads_of, phases
from .memory import Memory, states
from .page import Needs, render
from .plan import Plan, plan_stage

__all__ = ["describe", "discard_hydra_files"]


def describe(stages: Sequence[DictConfig]) -> str:
    """The page of a run of these stages, in order. The configs are not changed.

    Raises:
        ConfigError: What the run itself would refuse.
    """
    last = len(stages) - 1
    return render([_needs(cfg, first=i == 0, last=i == last) for i, cfg in enumerate(stages)])


def discard_hydra_files() -> None:
    """Delete the temporary folder that Hydra made for this dry run; one that was named stays."""
    if not HydraConfig.initialized():
        return
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.RUN and hydra.run.dir == hydra.env.folder["True"]:
        shutil.rmtree(hydra.runtime.output_dir, ignore_errors=True)


def _needs(cfg: DictConfig, first: bool, last: bool) -> Needs:
    cfg = cfg.copy()
    with open_dict(cfg):
        if "cache_dir" in cfg.data:
            cfg.data.cache_dir = None  # a cache would be written
    stage = plan_stage(cfg)
    stage.starts_measured, stage.is_last = not first, last
    work = loads_of(stage)
    keeps_copy = stage.policy.keeps_reference and not stage.policy.has_adapters
    memory = Memory(
        states(stage.policy.model, stage.skeleton, stage.module.make_optimizer, stage.placement, keeps_copy),
        phases(stage),
    )
    time = estimate_time(stage, work, _policy_maker(stage))
    return Needs(stage, memory, work, time, verdict(stage, memory, is_new=cfg.model.path is None))


def _policy_maker(stage: Plan):
    """What builds the stage's real policy, or None where weights or tokenizer are missing."""
    model = stage.cfg.model
    lora = OmegaConf.to_container(model.lora) if model.lora else None
    if model.path is None:
        return partial(instantiate(model.create), stage.policy.tokenizer, lora=lora)
    if stage.warnings:
        return None
    return partial(instantiate(model.load), model.path, lora=lora)

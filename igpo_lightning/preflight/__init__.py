"""Estimates of memory, work and time of a training run, before it starts.

Nothing is written, and of a large model nothing but its config is read. The stage's own objects are
built around a network on the meta device, so a setting that the run would refuse is refused here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from ..training.warm_start import named
from . import page
from .memory import forecast
from .plan import plan_stage
from .timing import seconds_of
from .work import loads_of

__all__ = ["describe", "discard_hydra_files"]


def describe(stages: Sequence[DictConfig]) -> Iterator[str]:
    """The page of a run of these stages, in order, piece by piece as it is found. No config is changed.

    Raises:
        ConfigError: What the run itself would refuse.
    """
    planned, count, all_loads, all_seconds = [], len(stages), [], []
    for i, cfg in enumerate(stages):  # all are refused before anything is said
        cfg = cfg.copy()
        with open_dict(cfg):
            if "cache_dir" in cfg.data:
                cfg.data.cache_dir = None  # a cache would be written
        with named(cfg) if i < count - 1 else nullcontext():
            planned.append(plan_stage(cfg))
        planned[-1].starts_measured, planned[-1].is_last = i > 0, i == count - 1
    for number, plan in enumerate(planned, start=1):
        cfg, loads = plan.cfg, loads_of(plan)
        of = f"stage {number} of {count}: " if count > 1 else ""
        yield f"{of}{cfg.algo.name} · {cfg.model.name} · {cfg.data.name} · seed {cfg.seed}"
        memory, flops = forecast(plan, loads)
        yield page.needs(plan, memory, loads, flops)
        seconds, notes = seconds_of(plan, loads, flops)
        all_loads, all_seconds = all_loads + loads, all_seconds + seconds
        yield page.times(loads, seconds, notes)
    if count > 1 and all_seconds:
        yield f"both stages: about {page.span(all_loads, all_seconds)} on this device"


def discard_hydra_files() -> None:
    """Delete the temporary folder that Hydra made for this dry run; one that was named stays."""
    if not HydraConfig.initialized():
        return
    hydra: Any = HydraConfig.get()  # with keys of our own
    if hydra.mode == RunMode.RUN and hydra.run.dir == hydra.env.folder["True"]:
        shutil.rmtree(hydra.runtime.output_dir, ignore_errors=True)

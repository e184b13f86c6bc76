"""Resolvers of ``${sweep.…}`` in ``conf/sweep``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from igpo_lightning.sweeping import machine
from igpo_lightning.sweeping.record import FILE

_LONGEST = 100  # of a job's name; file systems allow 255


def register() -> None:
    """Make the resolvers known to OmegaConf, in this process."""
    OmegaConf.register_new_resolver("sweep.name", job_name, replace=True)
    OmegaConf.register_new_resolver("sweep.jobs_at_once", machine.jobs_at_once, replace=True)
    OmegaConf.register_new_resolver("sweep.jobs_in", jobs_in, replace=True)
    OmegaConf.register_new_resolver("sweep.gpus", _gpus, replace=True)


def job_name(overrides: Sequence[str], fixed: Collection[str] = ()) -> str:
    """A folder for a job: what it differs in, then a hash of all its overrides.

    Only letters, digits and ``. _ - +``, so that it needs no quotes in a shell or on Hydra's command line.

    Args:
        overrides: Of this job, in any order.
        fixed: Keys that are the same in the whole sweep; they are only in the hash.

    Example:
        ``["algo.inpaint.ratio=[0.2,0.4]", "seed=1"]`` gives ``ratio-0.2-0.4_seed-1_`` and six digits.
    """
    told = sorted(own_overrides(overrides))
    parts = [_part(text) for text in told if key_of(text) not in fixed]
    digest = hashlib.sha256("\n".join(told).encode()).hexdigest()[:6]
    return "_".join([*parts, ""])[:_LONGEST] + digest


def jobs_in(folder: str) -> int:
    """Number of jobs in a sweep's folder."""
    return sum(1 for _ in Path(folder).glob(f"*/{FILE}"))


def own_overrides(overrides: Sequence[str]) -> list[str]:
    """The overrides that say what a job computes, not how or where the sweep runs it."""
    return [text for text in overrides if key_of(text) not in ("sweep", "sweep_dir", "resume")]


def key_of(override: str) -> str:
    """``"+algo/logprobs@x=mean_field"`` has the key ``algo/logprobs``."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _part(override: str) -> str:
    leaf = re.split(r"[./]", key_of(override))[-1]
    value = re.sub(r"[\[\]{}()\"'\s]", "", override.partition("=")[2])
    return f"{leaf}-{re.sub(r'[^A-Za-z0-9.+_-]+', '-', value)}"


def _gpus(accelerator: str, devices: Any) -> int | None:
    """GPUs of one job, None if it uses none."""
    return machine.device_count(devices) if accelerator in ("gpu", "cuda") else None

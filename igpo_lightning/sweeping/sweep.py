"""The command that runs a sweep: what is checked before its jobs, and what is said after them."""

from __future__ import annotations

import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import quoted
from igpo_lightning.run_folder import HYDRAS_OWN
from igpo_lightning.sweeping import machine
from igpo_lightning.sweeping.job import LOG, SHARED_MACHINE
from igpo_lightning.sweeping.record import FILE, Record
from igpo_lightning.sweeping.resolvers import key_of

_COUNTED = {"submitit_slurm": "slurm", "ray": "ray"}  # launchers that must know how much a job takes


@dataclass(frozen=True)
class Sweep:
    """One sweep command.

    Attributes:
        folder: Where its jobs have their folders.
        command: A name that no other command has.
        overrides: To be added to the command line, so that every job sees the same.
        jobs: Their number; None if a sweeper chooses them as it goes.
    """

    folder: Path
    command: str
    overrides: tuple[str, ...]
    jobs: int | None

    @classmethod
    def plan(cls, cfg: DictConfig, typed: Sequence[str], swept: Mapping[str, int | None]) -> Sweep:
        """Check what a sweep needs.

        Args:
            cfg: The first job's config with its ``hydra`` node.
            typed: The overrides of the command line.
            swept: Keys that are swept, with the number of their values (None: an interval).

        Raises:
            ConfigError: Naming the key and what would be right.
        """
        check_sweep(cfg, swept)
        folder = Path(OmegaConf.select(cfg, "hydra.sweep.dir")).absolute()
        fixed = [key for key in dict.fromkeys(map(key_of, typed)) if key not in swept]
        overrides = [
            f"hydra.sweep.dir={quoted(str(folder))}",  # fixed now: it may hold the time of day
            f"hydra.job.config.override_dirname.exclude_keys=[{','.join(map(quoted, fixed))}]",
        ]
        if (threads := _threads(cfg, swept)) and "OMP_NUM_THREADS" not in os.environ:
            overrides.append(f"++hydra.job.env_set.OMP_NUM_THREADS='{threads}'")
        if cfg.hydra.runtime.choices["hydra/sweeper"] == "optuna":
            folder.mkdir(parents=True, exist_ok=True)  # its storage lies in there
        is_counted = cfg.hydra.runtime.choices["hydra/sweeper"] == "basic"
        jobs = math.prod(count or 1 for count in swept.values()) if is_counted else None
        return cls(folder, f"{time.time_ns():x}-{os.getpid()}", tuple(overrides), jobs)

    def run(self, launch: Callable[[], None]) -> int:
        """Launch the jobs, say how they ended, and give the exit status.

        Raises:
            SystemExit: Hydra's, where no job's record says why.
        """
        stopped = None
        try:
            launch()
        except SystemExit as stop:
            stopped = stop
        finally:
            worst = self._close()
        if stopped is not None and not worst:
            raise stopped
        return worst

    def records(self) -> dict[Path, Record]:
        """Records of the jobs that this command reached, by folder."""
        found = {path.parent: Record.read(path.parent) for path in sorted(self.folder.rglob(f"*/{FILE}"))}
        return {path: record for path, record in found.items() if record and record.command == self.command}

    def _close(self) -> int:
        """Print the last lines; 2 if only bad input failed, 1 if anything else did, otherwise 0."""
        records = self.records()
        states = [record.state for record in records.values()]
        counts = {
            "done": states.count("done"),
            "done before": states.count("kept"),
            "failed": states.count("failed"),
            "unfinished": states.count("running") + states.count("stopped"),
            "not reached": 0 if self.jobs is None else self.jobs - len(records),
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count > 0)
        print(f"\nsweep in {self.folder}: {said or 'no job was started'}")
        failed = {path: record for path, record in records.items() if not record.finished}
        for path, record in failed.items():
            log = f"; see {path / LOG}" if (path / LOG).exists() else ""
            print(f"  {path.name}: {record.error or 'unfinished'}{log}", file=sys.stderr)
        if failed or counts["not reached"] > 0:
            again = shlex.quote(f"sweep_dir={self.folder}")
            print(f"the same command with {again} runs what is not done, and nothing else")
        print(f"table and picture: python -m igpo_lightning.collect {shlex.quote(str(self.folder))}")
        if not failed:
            return 0
        return 2 if all(record.bad_input for record in failed.values()) else 1


def check_sweep(cfg: DictConfig, swept: Mapping[str, int | None]) -> None:
    """Refuse what no sweep can do.

    Raises:
        ConfigError: Naming the key and what would be right.
    """
    launcher, sweeper = (cfg.hydra.runtime.choices[f"hydra/{part}"] for part in ("launcher", "sweeper"))
    raw: Any = OmegaConf.to_container(cfg, resolve=False)
    if raw["output_dir"] != HYDRAS_OWN:
        raise ConfigError(
            f"output_dir={raw['output_dir']}: a sweep gives its jobs their folders; "
            "sweep_dir=… says where, hydra.sweep.subdir=… their names"
        )
    if "dry_run" in swept:
        raise ConfigError("dry_run: true or false for all jobs of a sweep")
    if sweeper == "basic" and (continuous := [key for key, count in swept.items() if count is None]):
        raise ConfigError(
            f"{continuous[0]}: an interval has no end of values; take sweep=optuna, or list some"
        )
    if sweeper == "optuna":
        _check_objective(cfg)
    if "hardware" in cfg:
        _check_hardware(cfg, launcher)


def _check_objective(cfg: DictConfig) -> None:
    size = OmegaConf.select(cfg, "data.val_size", throw_on_missing=False)
    if cfg.get("evaluate") is False or size == 0:
        key = "evaluate=false" if cfg.get("evaluate") is False else "data.val_size=0"
        raise ConfigError(
            f"{key}: sweep=optuna looks for the best accuracy on validation problems, so it must be measured"
        )


def _check_hardware(cfg: DictConfig, launcher: str) -> None:
    devices, nodes = cfg.hardware.devices, cfg.hardware.get("num_nodes", 1)
    if nodes > 1 and launcher != "submitit_slurm":
        raise ConfigError(f"hardware.num_nodes={nodes}: only sweep=slurm runs a job on several nodes")
    if launcher in _COUNTED and not (isinstance(devices, int) and devices > 0):
        raise ConfigError(
            f"hardware.devices={devices}: sweep={_COUNTED[launcher]} asks for so many per job, "
            "so it must be a count, such as hardware.devices=8"
        )


def _threads(cfg: DictConfig, swept: Mapping[str, int | None]) -> int | None:
    """Threads per process, so that the jobs that run side by side have this machine's cores between them."""
    if cfg.hydra.runtime.choices["hydra/launcher"] not in SHARED_MACHINE or "hardware" not in cfg:
        return None
    jobs = math.prod(count or 1 for count in swept.values())
    processes = machine.processes(cfg.hardware.accelerator, cfg.hardware.devices)
    beside = machine.jobs_at_once(cfg.hardware.accelerator, cfg.hardware.devices)
    own = cfg.hydra.launcher.get("n_jobs") or cfg.hydra.sweeper.get("max_batch_size") or beside
    beside = own if own > 0 else machine.cores()
    return max(1, machine.cores() // (min(beside, jobs) * processes))

"""One job of a sweep, wherever the launcher runs it: skip, resume, run, and write down what became of it."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from igpo_lightning.checks import ConfigError
from igpo_lightning.sweeping import machine
from igpo_lightning.sweeping.own_process import run_in_own_process
from igpo_lightning.sweeping.record import Record
from igpo_lightning.sweeping.resolvers import own_overrides

LOG = "log.txt"
SHARED_MACHINE = ("joblib", "submitit_local")  # launchers whose jobs share this machine's GPUs

Run = Callable[[DictConfig], Any]


def run_job(target: str, run: Run, cfg: DictConfig, command: str) -> Any:
    """Run the job that Hydra is at, unless it has been done before.

    Args:
        target: ``run`` as ``"package.module:function"``, for processes of its own.
        run: What the job calls with its config.
        command: Name of the sweep command, for the record.

    Returns:
        What ``run`` gives; None if it failed, which is in the record and must not stop other jobs.

    Raises:
        ConfigError: The job's folder holds something else.
    """
    job = HydraConfig.get()
    launcher, folder = job.runtime.choices["hydra/launcher"], Path(job.runtime.output_dir)
    record = Record(tuple(sorted(own_overrides(job.overrides.task))), "running", command)
    if (earlier := _earlier(folder, record.overrides)) is not None and earlier.finished:
        _note(folder, replace(earlier, state="kept", command=command))
        return earlier.value
    _write(folder, record)
    if "resume" in cfg and cfg.resume is None:
        cfg.resume = "auto"  # in a new folder: from the start
    if "sweep_dir" in cfg:
        cfg.sweep_dir = job.sweep.dir  # it may hold the time of day
    if Path(job.runtime.cwd).is_dir():
        os.chdir(job.runtime.cwd)  # Ray starts elsewhere
    if launcher in SHARED_MACHINE and "hardware" in cfg and machine.on_gpus(cfg.hardware.accelerator):
        count = machine.processes(cfg.hardware.accelerator, cfg.hardware.devices)
        machine.claim_gpus(Path(job.sweep.dir) / ".gpus", count)
    with nullcontext() if launcher == "basic" else _output_to(folder / _log_name()):
        if _needs_own_process(cfg, launcher):
            outcome = run_in_own_process(target, cfg, folder)
        else:
            outcome = attempt(record, run, cfg, folder)
    _note(folder, outcome)
    return outcome.value


def attempt(record: Record, run: Run, cfg: DictConfig, folder: Path) -> Record:
    """Run the job; returns its record as it is after that.

    Raises:
        BaseException: What says that the job was asked to stop; the folder's record says so, too.
    """
    started = time.perf_counter()
    try:
        outcome = replace(record, state="done", value=run(cfg))
    except BaseException as error:
        if not isinstance(error, Exception) and getattr(error, "code", None) in (0, None, 141):
            _write(folder, replace(record, state="stopped"))
            raise  # Ctrl-C, an exit that was asked for, or nobody reads the output any more
        outcome = _failed(record, error)
    return replace(outcome, seconds=time.perf_counter() - started)


def _needs_own_process(cfg: DictConfig, launcher: str) -> bool:
    """True if Lightning would start further processes by repeating the command line, which is the sweep's.

    SLURM starts them itself. A strategy for several processes leaves its process group behind, so it
    doesn't share a process with the next job either.
    """
    if "hardware" not in cfg or launcher == "submitit_slurm":
        return False
    several = machine.processes(cfg.hardware.accelerator, cfg.hardware.devices) > 1
    return several or cfg.hardware.strategy != "auto"


def _earlier(folder: Path, overrides: tuple[str, ...]) -> Record | None:
    """The record of this very job, if it has been begun."""
    record = Record.read(folder)
    if record is None and (folder / "provenance.json").exists():
        raise ConfigError(f"{folder}: holds a run that is not of a sweep; give another sweep_dir")
    if record is not None and record.overrides != overrides:
        raise ConfigError(
            f"{folder}: holds another job ({' '.join(record.overrides)}); give another sweep_dir, "
            "or keep hydra.sweep.subdir as it is: it tells jobs apart"
        )
    return record


def _failed(record: Record, error: BaseException) -> Record:
    refused = cause(error)
    if refused is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    else:
        print(f"error: {refused}", file=sys.stderr)
    text = str(refused) if refused else f"{type(error).__name__}: {error}"
    return replace(record, state="failed", error=" ".join(text.split())[:500], bad_input=refused is not None)


def cause(error: BaseException | None) -> ConfigError | None:
    """The ConfigError that ``error`` is or was caused by (Hydra wraps what a constructor raises)."""
    while error is not None and not isinstance(error, ConfigError):
        error = error.__cause__
    return error


def _note(folder: Path, record: Record) -> None:
    """Write the record and say it on the console."""
    _write(folder, record)
    if rank() == 0:
        after = f"  {record.value:.4g}" if isinstance(record.value, (int, float)) else ""
        time_taken = f"  {record.seconds:.0f} s" if record.state == "done" else ""
        said = "done before" if record.state == "kept" else record.state
        error = f": {record.error}" if record.error else ""
        print(f"[sweep] {folder.name}  {said}{after}{time_taken}{error}", flush=True)


def _write(folder: Path, record: Record) -> None:
    if rank() == 0:
        record.write(folder)


def rank() -> int:
    """Index of this process within the job, whether SLURM or Lightning has started it."""
    return max(int(os.environ.get(name, 0)) for name in ("SLURM_PROCID", "LOCAL_RANK"))


def _log_name() -> str:
    return LOG if rank() == 0 else f"log.{rank()}.txt"


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process and its children print to a file: beside others it would be unreadable."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with path.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in zip((1, 2), kept, strict=True):
            os.dup2(old, number)
            os.close(old)

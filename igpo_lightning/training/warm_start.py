"""The stage that makes a model for a run that is given none; jobs of one sweep share it.

Jobs whose warm start would end with the same weights, bit for bit, train it once, in
``<sweep_dir>/warm_starts/<hash of its settings>``: one of them does, the others wait, and what was left half
done the next one finishes. A job's own folder has a link to it where a single run has the stage itself, so
that everything which reads a run's folder finds the same in both.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf, open_dict

from ..checks import ConfigError
from ..config import composed
from ..files import write_atomic
from ..locks import POLL, awaited
from ..reporting import wandb_logger
from ..reporting.summary import Stage, Summary
from ..run_folder import sweep_of
from ..stopping import Stopped, stop_requested
from ..sweeping.record import WARM_STARTS
from .resumption import RECIPES, is_finished, is_under, settings_by_key

# By the beginnings of keys: what can't change a warm start's weights, nor what is measured of them.
_ASIDE = (
    *("output_dir", "sweep_dir", "resume", "dry_run", "report", "logger", "warm_start", *RECIPES),
    *(f"callbacks.{name}" for name in ("progress", "samples", "checkpoint", "learning_rate", "watchdog")),
)
_KEY = re.compile(r"\balgo\.\w+(\.\w+)*")  # what the run's own command line may not have
_ATTEMPT = ".attempt"  # file that tells a run's other processes that their first one trains


def is_due(cfg: DictConfig) -> bool:
    """True if the run ``cfg`` has to train a model first."""
    return bool(cfg.algo.warm_start) and cfg.model.path is None


def config_of(cfg: DictConfig) -> DictConfig:
    """The run's config with the warm start's ``algo``, a model to be made, and a folder of its own."""
    plain = composed([f"algo={cfg.algo.warm_start}", *cfg.warm_start], within_run=True)
    first = copy.deepcopy(cfg)
    wandb_logger.for_warm_start(first, cfg.algo.warm_start)
    with open_dict(first):
        first.algo = plain.algo
        first.model.lora = None
        first.resume = cfg.resume and "auto"  # a checkpoint that was named is of the stage that was asked for
        first.output_dir = str(own_folder(cfg))
        if (shared := _shared_folder(cfg)) is not None:
            first.output_dir = str(shared / key_of(first))
            first.resume = "auto"  # another job may have begun it
    return first


def own_folder(cfg: DictConfig) -> Path:
    """Path in the run's own folder of its warm start, or of the link to it."""
    return Path(cfg.output_dir) / cfg.algo.warm_start


def trained(cfg: DictConfig, train: Callable[[DictConfig], Stage]) -> Stage:
    """The finished warm start of the run ``cfg``, trained by it, now or before, or by another job.

    Args:
        train: Trains the stage of a config, and leaves its summary.
    """
    first = config_of(cfg)
    with _turn(first, own_folder(cfg)) as due, named(first):
        stage = train(first) if due else Summary.load(first.output_dir).stages[0]
    return replace(stage, folder=cfg.algo.warm_start)


@contextmanager
def named(first: DictConfig) -> Iterator[None]:
    """Within this context what is refused is said to be the warm start's, with how its key is set."""
    try:
        yield
    except ConfigError as error:
        key = _KEY.search(str(error))
        how = f"; it is set by 'warm_start=[\"{key[0]}=…\"]'" if key else ""
        raise ConfigError(f"the first stage ({first.algo.name}): {error}{how}") from error


def key_of(first: DictConfig) -> str:
    """A hash of all settings that a warm start's weights, and what is measured of them, depend on."""
    tree: Any = OmegaConf.to_container(first, resolve=True)
    values = settings_by_key(tree)
    counting = {key: value for key, value in values.items() if not is_under(key, _ASIDE)}
    return hashlib.sha256(json.dumps(counting, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _shared_folder(cfg: DictConfig) -> Path | None:
    """Where the run's sweep has its warm starts; None if it is of no sweep, or has begun one of its own."""
    own = own_folder(cfg)
    if own.is_symlink():  # a job of a sweep, perhaps gone on with by a command of its own
        return own.resolve().parent
    sweep = None if own.exists() else sweep_of(cfg.output_dir, cfg.get("sweep_dir"))
    return sweep and sweep / WARM_STARTS


@contextmanager
def _turn(first: DictConfig, own: Path) -> Iterator[bool]:
    """Yield whether this run is to train the stage; within this context no other run does.

    All processes of a run get the same answer. Those that the first one starts come after its decision; those
    that SLURM starts beside it learn of it from a file with the number of their attempt.
    """
    folder = Path(first.output_dir)
    if folder == own:  # the run's lock is on it
        yield not is_finished(first)
    elif rank_zero_only.rank == 0:
        _link(own, folder)
        with awaited(folder, lambda: _is_over(first), lambda who: print(f"waiting: {folder}: {who}")) as due:
            if due:
                write_atomic(folder / _ATTEMPT, _attempt())
            else:
                print(f"the warm start is there: {folder}", flush=True)
            yield due
    else:
        while not (over := _is_over(first)) and _told(folder) != _attempt():
            time.sleep(POLL)
        yield not over


def _is_over(first: DictConfig) -> bool:
    if by := stop_requested():
        raise Stopped("stopped before its first update", by)
    return is_finished(first)


def _attempt() -> str:
    """A text that the processes of one start of a run have in common, and its next start has not."""
    return " ".join(os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID", "RESTART_COUNT"))


def _told(folder: Path) -> str | None:
    try:
        return (folder / _ATTEMPT).read_text(encoding="utf-8")
    except OSError:
        return None


def _link(own: Path, folder: Path) -> None:
    """Make ``own`` a link to ``folder``, in one step; a relative one, so that a sweep can be moved."""
    own.parent.mkdir(parents=True, exist_ok=True)
    new = own.with_name(f".{own.name}.{os.getpid()}.tmp")
    new.unlink(missing_ok=True)
    new.symlink_to(os.path.relpath(folder, own.parent))
    os.replace(new, own)

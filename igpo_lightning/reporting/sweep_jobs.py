"""A folder of runs as jobs: what each was set to, how it ended, what it measured."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.folders import RUN, is_kind
from igpo_lightning.reporting.run import METRICS, Run, read_run
from igpo_lightning.reporting.settings import flat
from igpo_lightning.reporting.summary import Accuracy
from igpo_lightning.sweeping.record import WARM_STARTS, Record
from igpo_lightning.sweeping.resolvers import key_of


@dataclass(frozen=True)
class Metric:
    """A figure of a run: its label, how it is read, which way is better, and whether it may be chosen by."""

    label: str
    read: Callable[[Run], float | None]
    percent: bool = False
    higher_is_better: bool = True
    chooses: bool = True


@dataclass(frozen=True)
class Job:
    """One run folder of a sweep.

    Attributes:
        name: Its folder, relative to the sweep's.
        state: "done", "failed" or "unfinished".
        error: One line, where it is known why.
        settings: Its config, flat, without the names of its own folder; dotted key → plain value.
        typed: The keys that were given on its command line.
        run: What it logged; None if it logged nothing that can be read.
    """

    name: str
    folder: Path
    state: str
    error: str | None
    settings: dict[str, Any]
    typed: tuple[str, ...]
    run: Run | None

    @property
    def seed(self) -> Any:
        return self.settings.get("seed")


def logged(run: Run, name: str) -> float | None:
    """Mean of a logged metric over the last fifth of the last stage that has it."""
    means = (stage.metrics.mean(name, 0.8, 1.0) for stage in reversed(run.stages))
    return next((mean for mean in means if mean is not None), None)


def _reward(run: Run) -> float | None:
    """Of the model alone: hints raise the reward without the model being better."""
    alone = logged(run, "rollout/reward_before")
    return alone if alone is not None else logged(run, "rollout/reward")


def _share(name: str) -> Callable[[Run], float | None]:
    """Reader of an accuracy of the run's last stage."""

    def read(run: Run) -> float | None:
        accuracy: Accuracy | None = getattr(run.stages[-1].stage, name)
        return accuracy.value if accuracy else None

    return read


FIGURES = {
    "accuracy": Metric("validation accuracy after", _share("accuracy_after"), percent=True),
    "accuracy_before": Metric("before", _share("accuracy_before"), percent=True),
    "test": Metric("test accuracy", _share("test"), percent=True, chooses=False),
    "reward": Metric("reward", _reward),
    "all_wrong": Metric(
        "groups all wrong", lambda run: logged(run, "rollout/all_wrong_before"), True, higher_is_better=False
    ),
    "seconds": Metric("wall time (s)", lambda run: run.seconds, higher_is_better=False),
    "completions": Metric(
        "completions", lambda run: run.stages[-1].stage.completions, higher_is_better=False
    ),
}
MEANINGS = {  # of figures that a table has
    "accuracy": "validation accuracy: on problems held out to choose by, before and after the last stage",
    "test": "test accuracy: on problems held out to report on; nothing is chosen by it",
    "reward": "reward, groups all wrong: of the model alone (as sampled), over the last fifth of the run",
}


def metric(name: str, jobs: Sequence[Job]) -> Metric:
    """The figure called ``name``: one of FIGURES or anything the runs logged.

    Raises:
        ConfigError: Nothing of that name was measured, with the nearest one that was.
    """
    if name in FIGURES:
        return FIGURES[name]
    names = {key for job in jobs if job.run for stage in job.run.stages for key in stage.metrics.frame}
    if name not in names:
        near = get_close_matches(name, [*FIGURES, *sorted(names)], n=1)
        known = f"there are {', '.join(FIGURES)}, and the columns of {METRICS}"
        hint = f"did you mean {near[0]}?" if near else known
        raise ConfigError(f"metric={name}: was not logged by any job; {hint}")
    falling = any(word in name for word in ("loss", "kl", "wrong", "seconds"))
    return Metric(name, lambda run: logged(run, name), higher_is_better=not falling)


def read_jobs(folder: str | Path, root: str | Path | None = None) -> tuple[Job, ...]:
    """All runs in ``folder``, at any depth, in the order of their names; a run's stages are not runs.

    Args:
        root: The folder that their names are relative to; ``folder`` if None.

    Raises:
        ConfigError: There is none.
    """
    folder, jobs = Path(folder), []
    root = folder if root is None else Path(root)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    for path, inner, _ in os.walk(folder):
        if is_kind(Path(path), RUN):
            inner.clear()
            jobs.append(_read(Path(path), root))
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != WARM_STARTS)
    if not jobs:
        raise ConfigError(f"{folder}: no runs in it")
    return tuple(jobs)


def _read(path: Path, root: Path) -> Job:
    record = Record.read(path)
    run, settings, error = None, {}, record.error if record else None
    try:
        # Hydra's is of a run that ended before it wrote its own.
        own = path / "config.yaml"
        config = (_config(own) if own.exists() else _config(path / ".hydra" / "config.yaml")) or {}
        settings = dict(flat(config, str(config.get("output_dir", path))))
        run = read_run(path)
    except ConfigError as problem:
        error = error or str(problem)
    finished = run is not None and run.finished
    overrides = (record and record.overrides) or _yaml(path / ".hydra" / "overrides.yaml") or ()
    return Job(
        name=os.path.relpath(path, root) if path != root else path.resolve().name,
        folder=path,
        state="done" if finished else "failed" if record and record.state == "failed" else "unfinished",
        error=None if finished else error,
        settings=settings,
        typed=tuple(key_of(text).replace("/", ".") for text in overrides),
        run=run,
    )


def _config(path: Path) -> dict[str, Any] | None:
    """A config; None if it is not there."""
    config = _yaml(path)
    if path.is_file() and not isinstance(config, dict):
        raise ConfigError(f"{path}: not the config of a run: it holds no keys")
    return config


def _yaml(path: Path) -> Any:
    """The content of a file; None if it is empty or not there."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from error

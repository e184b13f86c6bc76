"""A folder of runs as jobs: what each was set to, how it ended, what it measured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.run import METRICS, Run, read_run
from igpo_lightning.reporting.summary import FILE as SUMMARY
from igpo_lightning.sweeping.record import FILE as RECORD
from igpo_lightning.sweeping.record import WARM_STARTS, Record
from igpo_lightning.sweeping.resolvers import key_of

_MARKS = (RECORD, SUMMARY, "config.yaml", "provenance.json", str(METRICS), ".hydra/overrides.yaml")
_STRETCH = 0.8  # logged metrics are averaged over the last fifth of a run


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
    error: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    typed: tuple[str, ...] = ()
    run: Run | None = None

    @property
    def seed(self) -> Any:
        return self.settings.get("seed")


def _after(run: Run) -> float | None:
    accuracy = run.stages[-1].stage.accuracy_after
    return accuracy.value if accuracy else None


def _before(run: Run) -> float | None:
    accuracy = run.stages[-1].stage.accuracy_before
    return accuracy.value if accuracy else None


def _test(run: Run) -> float | None:
    return run.test.value if run.test else None


def _reward(run: Run) -> float | None:
    """Of the model alone: hints raise the reward without the model being better."""
    alone = logged(run, "rollout/reward_before")
    return alone if alone is not None else logged(run, "rollout/reward")


def _all_wrong(run: Run) -> float | None:
    return logged(run, "rollout/all_wrong_before")


def logged(run: Run, name: str) -> float | None:
    """Mean of a logged metric over the last fifth of the last stage that has it."""
    for stage in reversed(run.stages):
        value = stage.metrics.mean(name, _STRETCH, 1.0)
        if value is not None:
            return value
    return None


FIGURES = {
    "accuracy": Metric("validation accuracy after", _after, percent=True),
    "accuracy_before": Metric("before", _before, percent=True),
    "test": Metric("test accuracy", _test, percent=True, chooses=False),
    "reward": Metric("reward", _reward),
    "all_wrong": Metric("groups all wrong", _all_wrong, percent=True, higher_is_better=False),
    "seconds": Metric("wall time (s)", lambda run: run.seconds, higher_is_better=False),
    "completions": Metric(
        "completions", lambda run: run.stages[-1].stage.completions, higher_is_better=False
    ),
}
MEANINGS = {  # of figures that a table has
    "accuracy": "validation accuracy: on problems held out to choose by, before and after the last stage",
    "test": "test accuracy: on problems held out to report on; nothing is chosen by it",
    "reward": "reward, groups all wrong: of the model alone (before hints), over the last fifth of the run",
}


def metric(name: str, jobs: Sequence[Job]) -> Metric:
    """The figure called ``name``: one of FIGURES or anything the runs logged.

    Raises:
        ConfigError: Nothing of that name was measured, with the nearest one that was.
    """
    if name in FIGURES:
        return FIGURES[name]
    names = sorted(
        {key for job in jobs if job.run for s in job.run.stages for row in s.metrics.rows for key in row}
    )
    if name not in names:
        near = get_close_matches(name, [*FIGURES, *names], n=1)
        known = f"there are {', '.join(FIGURES)}, and the columns of {METRICS}"
        hint = f"did you mean {near[0]}?" if near else known
        raise ConfigError(f"metric={name}: was not logged by any job; {hint}")
    falling = any(word in name for word in ("loss", "kl", "wrong", "seconds"))
    return Metric(name, lambda run: logged(run, name), higher_is_better=not falling)


def read_jobs(folder: str | Path) -> tuple[Job, ...]:
    """All runs in ``folder``, at any depth, in the order of their names; a run's stages are not runs.

    Raises:
        ConfigError: There is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    jobs = tuple(_read(path, folder) for path in _run_folders(folder))
    if not jobs:
        raise ConfigError(f"{folder}: no runs in it")
    return jobs


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, inner, _ in os.walk(folder):
        if any((Path(path) / mark).exists() for mark in _MARKS):
            inner.clear()
            yield Path(path)
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != WARM_STARTS)


def _read(path: Path, root: Path) -> Job:
    record = Record.read(path)
    run, error = None, record.error if record else None
    try:
        run = read_run(path)
    except ConfigError as problem:
        error = error or str(problem)
    finished = run is not None and run.finished
    state = "done" if finished else "failed" if record and record.state == "failed" else "unfinished"
    return Job(
        name=str(path.relative_to(root)) if path != root else path.resolve().name,
        folder=path,
        state=state,
        error=None if finished else error,
        settings=_settings(path),
        typed=_typed(path, record),
        run=run,
    )


def _settings(path: Path) -> dict[str, Any]:
    """The run's config, or what Hydra composed if the run ended before it wrote one."""
    for file in (path / "config.yaml", path / ".hydra" / "config.yaml"):
        if file.is_file():
            config = _yaml(file)
            own = str(config.get("output_dir", path)) if isinstance(config, dict) else ""
            return dict(_flat(config, own))
    return {}


def _typed(path: Path, record: Record | None) -> tuple[str, ...]:
    overrides: Any = record.overrides if record else ()
    if not overrides and (file := path / ".hydra" / "overrides.yaml").is_file():
        overrides = _yaml(file) or ()
    return tuple(dict.fromkeys(key_of(str(text)).replace("/", ".") for text in overrides))


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(error).split())})") from error


def _flat(value: Any, own: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted key; lists of plain values are leaves, as tuples."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, own, f"{prefix}{name}.")
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for i, inner in enumerate(value):
            yield from _flat(inner, own, f"{prefix}{i}.")
    elif prefix:
        yield (
            prefix[:-1],
            (tuple(_plain(item, own) for item in value) if isinstance(value, list) else _plain(value, own)),
        )


def _plain(value: Any, own: str) -> Any:
    """Numbers that YAML reads as text (1e-3) as numbers; paths within the run relative to it."""
    if not isinstance(value, str):
        return value
    if own and (value == own or value.startswith(own + os.sep)):
        return "." + value[len(own) :]
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value

"""A sweep as groups of jobs that differ in nothing but the seed: mean and standard error of each figure."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.sweep_jobs import FIGURES, Job, Metric, metric, read_jobs

# Where and how a run reports, not what it computes.
_ASIDE = ("output_dir", "sweep_dir", "resume", "report", "dry_run", "callbacks", "logger")
_LONG_PATH = 24


@dataclass(frozen=True)
class Figure:
    """Mean over ``n`` jobs and its standard error, which takes at least two."""

    mean: float
    error: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """Jobs that share the values of the compared keys."""

    values: dict[str, Any]
    figures: dict[str, Figure]
    jobs: tuple[Job, ...]

    @property
    def label(self) -> str:
        return ", ".join(f"{short(key)} {show(value)}" for key, value in self.values.items()) or "all"


@dataclass(frozen=True)
class SweepResult:
    """Result of a sweep.

    Attributes:
        keys: What its groups differ in.
        metric: Name of the figure that groups are compared by.
        figures: The figures that at least one job has, by name.
        notes: What a reader must know about the grouping, one line each.
    """

    folder: Path
    jobs: tuple[Job, ...]
    keys: tuple[str, ...]
    metric: str
    figures: dict[str, Metric]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @cached_property
    def best(self) -> Group | None:
        """The group with the best mean; None if there is nothing to compare, or by test problems."""
        if not self.figures[self.metric].chooses:
            return None
        compared = [group for group in self.groups if self.metric in group.figures]
        if len({group.figures[self.metric].mean for group in compared}) < 2:
            return None
        sign = 1 if self.figures[self.metric].higher_is_better else -1
        return max(compared, key=lambda group: sign * group.figures[self.metric].mean)

    @property
    def missing(self) -> tuple[Job, ...]:
        """Jobs that are not finished."""
        return tuple(job for job in self.jobs if job.state != "done")


def read_sweep(
    folder: str | Path, by: Sequence[str] | None = None, metric_name: str | None = None
) -> SweepResult:
    """Group the finished runs in ``folder``.

    Args:
        by: Keys to group by; None: everything the runs differ in except the seed.
        metric_name: The figure to compare by; None: validation accuracy if it was measured, else the
            reward, else what there is but for the test set's.

    Raises:
        ConfigError: No runs, or a key or figure that they don't have.
    """
    jobs = read_jobs(folder)
    done = [job for job in jobs if job.state == "done"]
    figures = {
        name: figure
        for name, figure in FIGURES.items()
        if any(_number(figure.read(job.run)) is not None for job in done)
    }
    if metric_name is None:
        usable = [
            name for name in ("accuracy", "reward", *figures) if name in figures and figures[name].chooses
        ]
        metric_name = usable[0] if usable else "accuracy"
    figures = {metric_name: figures.get(metric_name) or metric(metric_name, done), **figures}
    differing = differing_keys(done)
    keys = tuple(differing) if by is None else tuple(_known(key, done) for key in by)
    notes = (*_notes(done, keys, differing), *_choice(metric_name, figures))
    return SweepResult(Path(folder), jobs, keys, metric_name, figures, _groups(done, keys, figures), notes)


def differing_keys(jobs: Sequence[Job]) -> list[str]:
    """The fewest keys that tell apart all jobs that differ in more than the seed.

    A choice such as ``algo=grpo,igpo`` changes many keys at once. Those that were typed come first, then a
    group's name, then what lies highest.
    """
    varying = _varying(jobs)
    whole = _classes(jobs, varying)
    chosen: list[str] = []
    for key in sorted(varying, key=lambda key: _rank(key, jobs)):
        if len(set(_classes(jobs, chosen))) == len(set(whole)):
            break
        if len(set(_classes(jobs, [*chosen, key]))) > len(set(_classes(jobs, chosen))):
            chosen.append(key)
    return chosen


def value_of(job: Job, key: str) -> Any:
    """A setting, or for a group such as "algo" what was chosen: its name or class."""
    for path in (key, f"{key}.name", f"{key}._target_"):
        if path in job.settings:
            value = job.settings[path]
            return value.rpartition(".")[2] if path.endswith("._target_") else value
    return None


def short(key: str) -> str:
    """A key as a reader needs it: its last part, with the one before if that says nothing by itself."""
    parts = key.split(".")
    while len(parts) > 1 and parts[-1] in ("name", "_target_"):
        parts.pop()
    return parts[-1]


def show(value: Any) -> str:
    """A value as it would be typed; of a long path, its end."""
    if isinstance(value, str) and value.startswith(os.sep) and len(value) > _LONG_PATH:
        return os.path.join("…", *Path(value).parts[-2:])
    if isinstance(value, tuple):
        return f"[{','.join(map(show, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _varying(jobs: Sequence[Job]) -> list[str]:
    """Keys whose value differs between jobs, without the seed and what follows it, each value told once."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    seeds = tuple(job.seed for job in jobs)
    told: dict[tuple[Any, ...], str] = {}
    for key in sorted(keys, key=lambda key: _rank(key, jobs)):
        if key == "seed" or key.partition(".")[0] in _ASIDE:
            continue
        values = tuple(value_of(job, key) for job in jobs)
        if len(set(values)) > 1 and not _follows(key, values, seeds):
            told.setdefault(values, key)  # interpolations repeat a value elsewhere
    return list(told.values())


def _follows(key: str, values: Sequence[Any], seeds: Sequence[Any]) -> bool:
    """True of a key that is the seed under another name, such as the sampler's."""
    pairs = list(zip(values, seeds, strict=True))
    if key.endswith(".seed"):  # may be absent from some jobs: of another algorithm
        pairs = [(value, seed) for value, seed in pairs if value is not None]
    return all(value == seed for value, seed in pairs)


def _classes(jobs: Sequence[Job], keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(value_of(job, key) for key in keys) for job in jobs]


def _rank(key: str, jobs: Sequence[Job]) -> tuple[Any, ...]:
    group = key.removesuffix(".name").removesuffix("._target_")
    typed = any(key in job.typed or group in job.typed for job in jobs)
    return (not typed, not key.endswith(".name"), key.count("."), key)


def _known(key: str, jobs: Sequence[Job]) -> str:
    if any(value_of(job, key) is not None for job in jobs):
        return key
    keys = {name.removesuffix(".name").removesuffix("._target_") for job in jobs for name in job.settings}
    same_leaf = [name for name in keys if name.rpartition(".")[2] == key.rpartition(".")[2]]
    near = sorted(same_leaf, key=lambda name: (name.count("."), name)) or get_close_matches(key, keys, n=1)
    raise ConfigError(f"by={key}: no job has this key" + (f"; did you mean {near[0]}?" if near else ""))


def _groups(jobs: Sequence[Job], keys: Sequence[str], figures: dict[str, Metric]) -> tuple[Group, ...]:
    import pandas as pd  # half a second that only this needs

    if not jobs:
        return ()
    classes = _classes(jobs, keys)
    order = sorted(set(classes), key=lambda values: [_sortable(value) for value in values])
    frame = pd.DataFrame(
        [{name: _number(figure.read(job.run)) for name, figure in figures.items()} for job in jobs],
        dtype=float,
    )
    by_group = frame.groupby([order.index(values) for values in classes])
    means, errors, counts = by_group.mean(), by_group.sem(), by_group.count()
    groups = []
    for i, values in enumerate(order):
        found = {
            name: Figure(
                float(means.loc[i, name]),
                None if math.isnan(errors.loc[i, name]) else float(errors.loc[i, name]),
                int(counts.loc[i, name]),
            )
            for name in figures
            if counts.loc[i, name]
        }
        members = tuple(job for job, own in zip(jobs, classes, strict=True) if own == values)
        groups.append(Group(dict(zip(keys, values, strict=True)), found, members))
    return tuple(groups)


def _notes(jobs: Sequence[Job], keys: Sequence[str], differing: Sequence[str]) -> tuple[str, ...]:
    notes = []
    told, whole = _classes(jobs, keys), _classes(jobs, [*keys, *differing])
    pooled = [key for key in differing if len(set(_classes(jobs, [*keys, key]))) > len(set(told))]
    if pooled:
        notes.append(f"means and errors are over these too, not only over seeds: {', '.join(pooled)}")
    pairs = [(values, job.seed) for values, job in zip(whole, jobs, strict=True)]
    twice = len(pairs) - len(set(pairs))
    if twice:
        notes.append(f"jobs that repeat the settings and the seed of another: {twice}; n counts them")
    return tuple(notes)


def _choice(name: str, figures: dict[str, Metric]) -> tuple[str, ...]:
    """Note on how the best is chosen."""
    if not figures[name].chooses:
        return (
            f"no best is marked: {name} is for reporting, so choose by accuracy, and report {name} of that",
        )
    if name == "reward" and "test" in figures and "accuracy" not in figures:
        return ("compared by the reward: no validation accuracy was measured (data.val_size=0)",)
    return ()


def _sortable(value: Any) -> tuple[Any, ...]:
    """Numbers by size, then everything else by its text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (0, value, "")
    if is_interval(value):
        return (1, sum(value), str(value))
    return (2, 0, show(value))


def is_interval(value: Any) -> bool:
    """True of (low, high)."""
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in value)
        and value[0] <= value[1]
    )


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)

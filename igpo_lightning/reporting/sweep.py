"""A sweep as groups of jobs that differ in nothing but the seed: mean and standard error of each figure."""

from __future__ import annotations

import math
from collections.abc import Container, Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.amounts import is_number
from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.noise import Figure, apart
from igpo_lightning.reporting.settings import ASIDE, show
from igpo_lightning.reporting.sweep_jobs import FIGURES, Job, Metric, metric, read_jobs

if TYPE_CHECKING:
    import pandas as pd


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
        measured: A row for each finished job, by its name, and a column for each of the figures.
        notes: What a reader must know about the grouping, one line each.
    """

    folder: Path
    jobs: tuple[Job, ...]
    keys: tuple[str, ...]
    metric: str
    figures: dict[str, Metric]
    measured: pd.DataFrame
    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @cached_property
    def ranked(self) -> tuple[Group, ...]:
        """The groups that have the figure, the best mean first; none by a figure that chooses nothing."""
        compared = self.figures[self.metric]
        groups = [group for group in self.groups if group.figures[self.metric].n and compared.chooses]
        groups.sort(key=lambda group: group.figures[self.metric].mean, reverse=compared.higher_is_better)
        return tuple(groups)

    @cached_property
    def best(self) -> Group | None:
        """The group with the best mean, if it is outside the noise of every other; see :func:`apart`."""
        if len(self.ranked) < 2:
            return None
        first, *others = (group.figures[self.metric] for group in self.ranked)
        return self.ranked[0] if all(apart(first, other) for other in others) else None

    @property
    def differences(self) -> list[tuple[str, list[str]]]:
        """(key, its value in each group) of every setting that is not the same in all, seeds aside."""
        jobs = [job for group in self.groups for job in group.jobs]
        rows = []
        for key in dict.fromkeys(key for job in jobs for key in job.settings):
            if key.partition(".")[0] in ASIDE or _is_seed(key, jobs):
                continue
            told = [{show(job.settings.get(key), None): None for job in group.jobs} for group in self.groups]
            if len({tuple(values) for values in told}) > 1:
                rows.append((key, [", ".join(values) for values in told]))
        return rows

    @property
    def missing(self) -> tuple[Job, ...]:
        """Jobs that are not finished."""
        return tuple(job for job in self.jobs if job.state != "done")


def read_sweep(
    folder: str | Path,
    by: Sequence[str] | None = None,
    metric_name: str | None = None,
    others: Sequence[str | Path] = (),
) -> SweepResult:
    """Group the finished runs in ``folder``.

    Args:
        by: Keys to group by; None: everything the runs differ in except the seed.
        metric_name: The figure to compare by; None: validation accuracy if it was measured, else the
            reward, else what there is but for the test set's.
        others: Folders of further runs and sweeps to compare with.

    Raises:
        ConfigError: No runs, or a key or figure that they don't have.
    """
    import pandas as pd  # half a second that only this needs

    by_folder: dict[Path, Job] = {}  # each once, in whatever ways it is named
    for job in (job for place in (folder, *others) for job in read_jobs(place, folder)):
        by_folder.setdefault(job.folder.resolve(), job)
    jobs = tuple(by_folder.values())
    done = [job for job in jobs if job.state == "done"]
    runs: list[Any] = [job.run for job in done]  # what is done has been read
    known = FIGURES if metric_name is None else {metric_name: metric(metric_name, done), **FIGURES}
    read = {name: [figure.read(run) for run in runs] for name, figure in known.items()}
    measured = pd.DataFrame(read, index=[job.name for job in done], dtype=float)
    measured = measured.replace([math.inf, -math.inf], math.nan)
    found = [name for name in known if measured[name].notna().any()]
    if metric_name is None:
        usable = (name for name in ("accuracy", "reward", *found) if name in found and known[name].chooses)
        metric_name = next(usable, "accuracy")
    figures = {name: known[name] for name in dict.fromkeys([metric_name, *found])}
    differing = differing_keys(done)
    keys = tuple(differing) if by is None else tuple(_known(key, done) for key in by)
    return SweepResult(
        folder=Path(folder),
        jobs=jobs,
        keys=keys,
        metric=metric_name,
        figures=figures,
        measured=measured[list(figures)],
        groups=_groups(done, keys, measured[list(figures)]),
        notes=tuple(_notes(done, keys, differing, metric_name, figures)),
    )


def differing_keys(jobs: Sequence[Job]) -> list[str]:
    """The fewest keys that tell apart all jobs that differ in more than the seed.

    A choice such as ``algo=grpo,igpo`` changes many keys at once. Those that were typed come first, then a
    group's name, then what lies highest.
    """
    typed = {key for job in jobs for key in job.typed}

    def rank(key: str) -> tuple[Any, ...]:
        return (not typed & {key, _group(key)}, not key.endswith(".name"), key.count("."), key)

    chosen: list[str] = []
    for key in sorted({key for job in jobs for key in job.settings}, key=rank):
        if key.partition(".")[0] in ASIDE or _is_seed(key, jobs):
            continue
        if _differ(jobs, [*chosen, key]) > _differ(jobs, chosen):
            chosen.append(key)
    return chosen


def value_of(job: Job, key: str) -> Any:
    """A setting, or for a group such as "algo" what was chosen: its name or class."""
    if (path := full_key(key, job.settings)) is None:
        return None
    value = job.settings[path]
    return value.rpartition(".")[2] if path.endswith("._target_") else value


def full_key(key: str, settings: Container[str]) -> str | None:
    """The key itself, or for a group that of its name or class; None if it is not among the settings."""
    return next((path for path in (key, f"{key}.name", f"{key}._target_") if path in settings), None)


def short(key: str) -> str:
    """A key as a reader needs it: its last part, with the one before if that says nothing by itself."""
    return _group(key).rpartition(".")[2]


def is_interval(value: Any) -> bool:
    """True of (low, high)."""
    is_pair = isinstance(value, tuple) and len(value) == 2
    return is_pair and all(map(is_number, value)) and value[0] <= value[1]


def _group(key: str) -> str:
    """The group whose choice a key tells: of "algo.name", "algo"."""
    return key.removesuffix(".name").removesuffix("._target_")


def _is_seed(key: str, jobs: Sequence[Job]) -> bool:
    """True of the seed, also under another name, such as the sampler's."""
    pairs = [(value_of(job, key), job.seed) for job in jobs]
    if key.endswith(".seed"):  # may be absent from some jobs: of another algorithm
        pairs = [(value, seed) for value, seed in pairs if value is not None]
    return all(value == seed for value, seed in pairs)


def _classes(jobs: Sequence[Job], keys: Sequence[str]) -> list[tuple[Hashable, ...]]:
    """Values of each job at ``keys``."""
    return [tuple(value_of(job, key) for key in keys) for job in jobs]


def _differ(jobs: Sequence[Job], keys: Sequence[str]) -> int:
    """Number of different jobs, judged by ``keys``."""
    return len(set(_classes(jobs, keys)))


def _known(key: str, jobs: Sequence[Job]) -> str:
    if any(value_of(job, key) is not None for job in jobs):
        return key
    keys = {_group(name) for job in jobs for name in job.settings}
    same_leaf = [name for name in keys if name.rpartition(".")[2] == key.rpartition(".")[2]]
    near = sorted(same_leaf, key=lambda name: (name.count("."), name)) or get_close_matches(key, keys, n=1)
    raise ConfigError(f"by={key}: no job has this key" + (f"; did you mean {near[0]}?" if near else ""))


def _groups(jobs: Sequence[Job], keys: Sequence[str], measured: pd.DataFrame) -> tuple[Group, ...]:
    classes = _classes(jobs, keys)
    order = sorted(set(classes), key=lambda values: [_sortable(value) for value in values])
    table = measured.groupby([order.index(values) for values in classes]).agg(["mean", "sem", "count"])
    groups = []
    for i, values in enumerate(order):
        stats = ((name, *table.loc[i, name]) for name in measured)
        figures = {name: Figure(mean, error, int(n)) for name, mean, error, n in stats}
        members = tuple(job for job, own in zip(jobs, classes, strict=True) if own == values)
        groups.append(Group(dict(zip(keys, values, strict=True)), figures, members))
    return tuple(groups)


def _notes(
    jobs: Sequence[Job], keys: Sequence[str], differing: Sequence[str], name: str, figures: dict[str, Metric]
) -> Iterator[str]:
    """Jobs of one group that differ in more than the seed, or in nothing; and how the best is chosen."""
    pooled = [key for key in differing if _differ(jobs, [*keys, key]) > _differ(jobs, keys)]
    if pooled:
        yield f"means and errors are over these too, not only over seeds: {', '.join(pooled)}"
    if twice := len(jobs) - _differ(jobs, [*keys, *differing, "seed"]):
        yield f"jobs that repeat the settings and the seed of another: {twice}; n counts them"
    if not figures[name].chooses:
        yield f"no best is marked: {name} is for reporting, so choose by accuracy, and report {name} of that"
    elif name == "reward" and "test" in figures and "accuracy" not in figures:
        yield "compared by the reward: no validation accuracy was measured (data.val_size=0)"


def _sortable(value: Any) -> tuple[Any, ...]:
    """Numbers by size, then intervals by their middle, then everything else by its text."""
    if is_number(value):
        return (0, value, "")
    return (1, sum(value), str(value)) if is_interval(value) else (2, 0, show(value, None))

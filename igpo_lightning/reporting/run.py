"""A run folder as values: metrics, config, provenance, summary, samples."""

from __future__ import annotations

import bisect
import csv
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting import samples as samples_file
from igpo_lightning.reporting import summary as summary_file
from igpo_lightning.reporting.samples import Sample
from igpo_lightning.reporting.summary import Accuracy, Stage, Summary

METRICS = Path("metrics") / "metrics.csv"

_ROLLOUT = "rollout/"

Points = tuple[list[float], list[float]]  # x, y


@dataclass(frozen=True)
class Metrics:
    """The sparse rows of a Lightning CSVLogger file: each holds what was logged at one moment."""

    rows: tuple[dict[str, float], ...] = ()

    def series(self, name: str) -> Points:
        """(steps, values) of one metric. A step logged twice (a resumed run) keeps its last value."""
        rows = self._rollouts if name.startswith(_ROLLOUT) else self.rows
        values = {row["step"]: row[name] for row in rows if name in row and "step" in row}
        steps = sorted(values)
        return steps, [values[step] for step in steps]

    def by_rollout(self, name: str) -> Points:
        """(number of rollouts so far, mean value since the last one) of one metric."""
        starts, _ = self.series("rollout/reward")
        groups: dict[int, list[float]] = {}
        for step, value in zip(*self.series(name), strict=True):
            groups.setdefault(bisect.bisect_right(starts, step), []).append(value)
        return list(map(float, groups)), [sum(group) / len(group) for group in groups.values()]

    @cached_property
    def _rollouts(self) -> tuple[dict[str, float], ...]:
        """One row per rollout: Lightning repeats what a window logged with each of its updates."""
        seen: dict[float, dict[str, float]] = {}
        for row in self.rows:
            if "step" in row and "rollout/reward" in row:
                seen[row["step"]] = row
        firsts, last = [], None
        for step in sorted(seen):
            values = {name: value for name, value in seen[step].items() if name.startswith(_ROLLOUT)}
            if values != last:
                firsts.append(seen[step])
            last = values
        return tuple(firsts)

    def last(self, name: str) -> float | None:
        """The latest value of a metric, None if it was never logged."""
        _, values = self.series(name)
        return values[-1] if values else None

    def mean(self, name: str, start: float = 0.0, stop: float = 1.0) -> float | None:
        """Mean over a stretch of the run, as shares of its length: (0.8, 1.0) is the last fifth."""
        _, values = self.series(name)
        if not values:
            return None
        first = min(int(start * len(values)), len(values) - 1)
        part = values[first : max(first + 1, math.ceil(stop * len(values)))]
        return sum(part) / len(part)


@dataclass(frozen=True)
class StageRun:
    """A stage and what it logged."""

    stage: Stage
    metrics: Metrics

    @property
    def has_rollouts(self) -> bool:
        return bool(self.metrics.series("rollout/reward")[1])

    @property
    def has_hints(self) -> bool:
        """True if hints were tried at least once; False for GRPO."""
        return self.metrics.last("rollout/hint_success") is not None


@dataclass(frozen=True)
class Run:
    """Everything a report needs. ``finished`` is False if the run left no summary."""

    folder: Path
    stages: tuple[StageRun, ...]
    title: str
    seconds: float | None = None
    finished: bool = True
    config: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()

    @property
    def rollouts(self) -> StageRun | None:
        """The last stage that sampled completions to learn from."""
        return next((stage for stage in reversed(self.stages) if stage.has_rollouts), None)

    @property
    def supervised(self) -> StageRun | None:
        """The last stage that learned from traces only."""
        return next((stage for stage in reversed(self.stages) if not stage.has_rollouts), None)

    def accuracies(self) -> list[tuple[str, Accuracy]]:
        """Validation accuracy along the run: ("before SFT", ...), ("after SFT", ...), ("after IGPO", ...)."""
        points: list[tuple[str, Accuracy]] = []
        for i, stage_run in enumerate(self.stages):
            stage = stage_run.stage
            repeats = i > 0 and self.stages[i - 1].stage.accuracy_after is not None
            if stage.accuracy_before is not None and not repeats:
                points.append((f"before {label(stage)}", stage.accuracy_before))
            if stage.accuracy_after is not None:
                points.append((f"after {label(stage)}", stage.accuracy_after))
        return points

    @property
    def test(self) -> Accuracy | None:
        """Accuracy on test problems of what the run ended with."""
        return self.stages[-1].stage.test


def label(stage: Stage) -> str:
    """A stage's name as readers write it: short ones are acronyms."""
    return stage.name.upper() if len(stage.name) <= 4 else stage.name


def read_run(folder: str | Path) -> Run:
    """Read a run folder, finished or not.

    Raises:
        ConfigError: If nothing was logged there, or a file in it cannot be read.
    """
    folder = Path(folder)
    finished = (folder / summary_file.FILE).exists()
    summary = Summary.load(folder) if finished else Summary(_guess_stages(folder))
    stages = tuple(
        StageRun(
            stage, read_metrics(path) if (path := folder / stage.folder / METRICS).exists() else Metrics()
        )
        for stage in summary.stages
    )
    if not any(stage.metrics.rows for stage in stages):
        raise ConfigError(f"{folder}: no run folder, {METRICS} is missing or empty there and in its stages")
    config = folder / "config.yaml"
    return Run(
        folder=folder,
        stages=stages,
        title=summary.title or " → ".join(label(stage) for stage in summary.stages),
        seconds=summary.seconds,
        finished=finished,
        config=config.read_text(encoding="utf-8") if config.exists() else "",
        provenance=_read_json(folder / "provenance.json"),
        samples=samples_file.read(folder / samples_file.FILE),
    )


def read_metrics(path: str | Path) -> Metrics:
    """Parse a CSVLogger file: empty cells are absent, NaN and infinities are dropped.

    Raises:
        ConfigError: Naming file and line of a cell that is not a number.
    """
    rows = []
    with Path(path).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            try:
                values = {key: float(cell) for key, cell in row.items() if key and cell}
            except (TypeError, ValueError) as error:
                raise ConfigError(f"{path}:{reader.line_num}: not a number ({error})") from error
            rows.append({key: value for key, value in values.items() if math.isfinite(value)})
    return Metrics(tuple(rows))


def _guess_stages(folder: Path) -> tuple[Stage, ...]:
    """The stages of a run without a summary: sub-folders that logged, then the folder itself."""
    inner = sorted(path.parent.parent.name for path in folder.glob(f"*/{METRICS}"))
    stages = [Stage(name, name) for name in inner]
    if (folder / METRICS).exists():
        stages.append(Stage("this run", "."))
    return tuple(stages)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error})") from error
    return value if isinstance(value, dict) else {"provenance": value}

"""A run folder as values: metrics, config, provenance, summary, samples."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting import samples as samples_file
from igpo_lightning.reporting import summary as summary_file
from igpo_lightning.reporting.summary import Accuracy, Stage, Summary
from igpo_lightning.sample_record import SampleRecord

if TYPE_CHECKING:
    import pandas as pd

METRICS = Path("metrics") / "metrics.csv"


@dataclass(frozen=True)
class Metrics:
    """Metrics that a stage logged: a row for each moment, indexed by its step; NaN: not logged then."""

    frame: pd.DataFrame

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """(steps, values) of one metric."""
        values: Any = self.values(name)
        return values.index.tolist(), values.tolist()

    def by_rollout(self, name: str) -> pd.Series:
        """Mean values of one metric since the last rollout, by the number of rollouts so far."""
        values = self.values(name)
        rollouts = self.values("rollout/reward").index.searchsorted(values.index, side="right")
        means: Any = values.groupby(rollouts).mean()
        return means

    def last(self, name: str) -> float | None:
        """The latest value of a metric, None if it was never logged."""
        values = self.values(name)
        return None if values.empty else float(values.iloc[-1])

    def mean(self, name: str, start: float = 0.0, stop: float = 1.0) -> float | None:
        """Mean over a stretch of the run, as shares of its length: (0.8, 1.0) is the last fifth."""
        values = self.values(name)
        if values.empty:
            return None
        first = min(int(start * len(values)), len(values) - 1)
        return float(values.iloc[first : max(first + 1, math.ceil(stop * len(values)))].mean())

    def ends(self, name: str) -> tuple[float, float] | None:
        """Means over the first and the last fifth of the run, None if it was never logged."""
        first, last = self.mean(name, 0.0, 0.2), self.mean(name, 0.8, 1.0)
        return None if first is None or last is None else (first, last)

    def seconds(self) -> pd.Series:
        """Seconds of rollouts and updates so far, without validation, by step."""
        rollouts, updates = self.values("rollout/seconds"), self.values("time/update")
        return rollouts.add(updates, fill_value=0.0).sort_index().cumsum()

    def values(self, name: str) -> pd.Series:
        """The values of one metric by step. A step logged twice (a resumed run) keeps its last value."""
        rows = self._rollouts if name.startswith("rollout/") else self.frame
        return _by_step(rows.reindex(columns=[name])[name].dropna())

    @cached_property
    def _rollouts(self) -> pd.DataFrame:
        """One row per rollout: Lightning repeats what it logged with each of its updates."""
        rows = self.frame.filter(regex="^rollout/")
        rows = _by_step(rows[rows.reindex(columns=["rollout/reward"]).notna().all(axis=1)])
        known = rows.fillna(math.inf)  # NaN differs from itself
        return rows[(known != known.shift()).any(axis=1)]


def _by_step(logged: Any) -> Any:
    return logged[~logged.index.duplicated(keep="last")].sort_index()


@dataclass(frozen=True)
class StageRun:
    """A stage and what it logged."""

    stage: Stage
    metrics: Metrics

    @property
    def logged(self) -> bool:
        """True if any metric was kept."""
        return not self.metrics.frame.empty

    @property
    def has_rollouts(self) -> bool:
        return self.metrics.last("rollout/reward") is not None

    @property
    def has_second_tries(self) -> bool:
        """True if groups were sampled again, with hints or without."""
        return self.metrics.last("rollout/hint_success") is not None

    @property
    def has_hints(self) -> bool:
        """True if a hint was written at least once."""
        return self._ever("rollout/resampled_hinted") or self._ever("rollout/hinted")

    @property
    def change(self) -> tuple[str, str] | None:
        """Names of the groups as sampled, and as trained on; None if these are the same groups."""
        if self._ever("rollout/swapped"):
            return "as sampled", "final groups"
        if self.has_second_tries:
            return "before", "after hints" if self.has_hints else "after second tries"
        return None

    @property
    def second_tries_correct(self) -> float | None:
        """Share of correct ones among all completions of second tries."""
        tries = self.metrics.values("rollout/resampled").sum()
        return float(self.metrics.values("rollout/resampled_correct").sum() / tries) if tries else None

    @property
    def along(self) -> str:
        """The horizontal axis of its curves."""
        return "rollouts" if self.has_rollouts else "step"

    def curve(self, name: str) -> pd.Series:
        """One metric along that axis."""
        return self.metrics.by_rollout(name) if self.has_rollouts else self.metrics.values(name)

    @property
    def own_reward(self) -> str:
        """The metric that is the reward of the model alone: of the groups as sampled."""
        before = "rollout/reward_before"
        return before if self.metrics.last(before) is not None else "rollout/reward"

    @property
    def completions(self) -> float | None:
        """Completions sampled, second tries too."""
        return self.stage.completions or self.metrics.last("rollout/completions")

    def _ever(self, name: str) -> bool:
        """True if a count was above 0 at some rollout."""
        return bool((self.metrics.values(name) > 0).any())


@dataclass(frozen=True)
class Run:
    """Everything a report needs. ``finished`` is False if the run left no summary."""

    folder: Path
    stages: tuple[StageRun, ...]
    title: str
    seconds: float | None
    finished: bool
    config: str
    provenance: Any
    samples: tuple[SampleRecord, ...]

    @property
    def rollouts(self) -> StageRun | None:
        """The last stage that sampled completions to learn from."""
        return next((stage for stage in reversed(self.stages) if stage.has_rollouts), None)

    @property
    def supervised(self) -> StageRun | None:
        """The last stage that learned from traces only."""
        return next((stage for stage in reversed(self.stages) if not stage.has_rollouts), None)

    @property
    def main(self) -> StageRun | None:
        """The stage that runs are compared by: the last that sampled completions, if any did."""
        return self.rollouts or self.supervised

    def accuracies(self) -> list[tuple[str, Accuracy]]:
        """Validation accuracy along the run: ("before SFT", ...), ("after SFT", ...), ("after IGPO", ...)."""
        points: list[tuple[str, Accuracy]] = []
        known = None  # what the stage before ended with, which the next one begins with
        for stage in (stage_run.stage for stage_run in self.stages):
            if stage.accuracy_before is not None and known is None:
                points.append((f"before {label(stage)}", stage.accuracy_before))
            if stage.accuracy_after is not None:
                points.append((f"after {label(stage)}", stage.accuracy_after))
            known = stage.accuracy_after
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
        ConfigError: It has neither metrics nor a summary, or a file in it cannot be read.
    """
    folder = Path(folder)
    finished = (folder / summary_file.FILE).exists()
    summary = Summary.load(folder) if finished else Summary(_guess_stages(folder))
    stages = tuple(StageRun(stage, read_metrics(folder / stage.folder / METRICS)) for stage in summary.stages)
    if not finished and not any(stage.logged for stage in stages):
        raise ConfigError(f"{folder}: no run folder, {METRICS} is missing or empty there and in its stages")
    config, provenance = folder / "config.yaml", folder / "provenance.json"
    try:
        made = json.loads(provenance.read_text(encoding="utf-8")) if provenance.exists() else None
    except ValueError as error:
        raise ConfigError(f"{provenance}: not JSON ({error})") from error
    return Run(
        folder=folder,
        stages=stages,
        title=summary.title or " → ".join(label(stage) for stage in summary.stages),
        seconds=summary.seconds,
        finished=finished,
        config=config.read_text(encoding="utf-8") if config.exists() else "",
        provenance=made,
        samples=samples_file.read(folder / samples_file.FILE),
    )


def read_metrics(path: str | Path) -> Metrics:
    """Parse a CSVLogger file, if it is there: NaN and infinities count as not logged.

    Raises:
        ConfigError: Naming file and line of a cell that is not a number.
    """
    import numpy as np
    import pandas as pd  # half a second that training does not need

    try:
        cells = pd.read_csv(path)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        cells = pd.DataFrame(columns=["step"])
    except ValueError as error:
        raise ConfigError(f"{path}: not a table of metrics ({error})") from error
    if "step" not in cells:  # a kill can cut the header
        raise ConfigError(f"{path}:1: there is no column 'step'; remove the file, which is damaged")
    numbers = cells.apply(pd.to_numeric, errors="coerce").astype(float)
    for row, column in np.argwhere(numbers.isna() & cells.notna()):
        raise ConfigError(f"{path}:{row + 2}: not a number ({cells.iat[row, column]})")
    numbers = numbers.replace([math.inf, -math.inf], math.nan).dropna(subset="step")
    return Metrics(numbers.set_index("step", drop=False))


def _guess_stages(folder: Path) -> tuple[Stage, ...]:
    """The stages of a run without a summary: sub-folders that logged, then the folder itself."""
    inner = sorted(path.parent.parent.name for path in folder.glob(f"*/{METRICS}"))
    own = [Stage("this run", ".")] if (folder / METRICS).exists() else []
    return (*(Stage(name, name) for name in inner), *own)

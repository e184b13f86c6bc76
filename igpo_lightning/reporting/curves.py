"""Curves of a page: which there are, and what was logged of them, thinned so that a page stays small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from igpo_lightning.reporting.run import StageRun

if TYPE_CHECKING:
    import pandas as pd

    Progress = dict[str, pd.Series]  # place of AXES → what it was at a step, by step

MOST_POINTS = 500  # of a curve; a longer one is shown by the means of as many stretches
AXES = {"update": "updates", "rollout": "rollouts", "tokens": "tokens generated", "minutes": "minutes"}


@dataclass(frozen=True)
class Chart:
    """A chart: its title, and the metrics that it has with what each is called there.

    Attributes:
        curves: Pattern of a metric's name → its label; "" takes the name. Of a sweep only the first is drawn.
        percent: They are shares.
    """

    title: str
    curves: dict[str, str]
    percent: bool = False


CHARTS = (
    Chart("Reward", {"rollout/reward_before": "the model alone", "rollout/reward": "of the final groups"}),
    Chart("Groups all wrong", {
        "rollout/all_wrong_before": "as sampled", "rollout/all_wrong_after": "final"}, True),
    Chart("Validation accuracy", {"val/accuracy": ""}, True),
    Chart("Second tries that are correct", {"rollout/hint_success": ""}, True),
    Chart("KL divergence", {"train/kl": "to the reference", "train/kl_old": "to the policy that sampled"}),
    Chart("Clipped tokens", {
        "train/clip_fraction": "all", "train/clip_ratio/low_mean": "from below",
        "train/clip_ratio/high_mean": "from above", "train/clip_ratio/hints": "of hints"}, True),
    Chart("Entropy (nats)", {"rollout/entropy": ""}),
    Chart("Length (tokens)", {
        "rollout/length": "mean", "rollout/completions/min_length": "shortest",
        "rollout/completions/max_length": "longest"}),
    Chart("Importance ratio", {
        "train/ratio_mean": "mean", "train/ratio_min": "smallest", "train/ratio_max": "largest"}),
    Chart("Loss", {"train/loss": "training", "val/loss": "validation"}),
    Chart("Masked tokens predicted", {
        "train/token_accuracy": "training", "val/token_accuracy": "validation"}, True),
    Chart("Gradient norm", {"train/grad_norm": ""}),
    Chart("Learning rate", {"lr-*": ""}),
    Chart("Tokens per second", {"time/tokens_per_second": ""}),
    Chart("Memory (GiB)", {"memory/gib_max": ""}),
    Chart("Seconds by phase", {
        "rollout/seconds": "rollout", "time/sample": "sampling", "time/score": "scoring",
        "time/logprobs": "log-probs", "time/wait": "waiting", "time/update": "update"}),
)  # fmt: skip
_ASIDE = ("step", "epoch", "time/verify")


def stage_curves(stage: StageRun) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A stage's charts: those of CHARTS that it has something of; one for each other metric that varies."""
    progress = _progress(stage)
    charts = list(_drawn(stage, progress, CHARTS))
    named = {curve["name"] for chart in charts for curve in chart["curves"]}
    others = (name for name in sorted(stage.metrics.frame) if name not in named and name not in _ASIDE)
    varying = [Chart(name, {name: ""}) for name in others if stage.metrics.values(name).nunique() > 1]
    return charts, list(_drawn(stage, progress, varying))


def mean_curves(arms: Mapping[str, Sequence[StageRun]]) -> list[dict[str, Any]]:
    """Charts with a curve for each arm: the mean over its runs with its standard error.

    Args:
        arms: Label → the runs that differ in nothing but the seed.
    """
    most = max(40, min(MOST_POINTS // 3, 1200 // max(1, len(arms))))
    runs = {label: [(stage, _progress(stage)) for stage in stages] for label, stages in arms.items()}
    charts = []
    for chart in CHARTS:
        curves, (metric, which) = [], next(iter(chart.curves.items()))
        first = Chart(chart.title, {metric: which})
        for colour, (label, members) in enumerate(runs.items()):
            frames = [frame for member in members for _, _, frame in _found(*member, first)[:1]]
            if frames:
                columns = _columns(_thinned(_averaged(frames), most))
                told = f"{label} (n = {len(frames)})"
                curves.append({"name": label, "label": told, "colour": colour, **columns})
        if curves:
            title = f"{chart.title}: {which}" if which else chart.title
            charts.append({"title": title, "percent": chart.percent, "curves": curves})
    return charts


def _drawn(stage: StageRun, progress: Progress, charts: Sequence[Chart]) -> Iterator[dict[str, Any]]:
    for chart in charts:
        curves = [
            {"name": name, "label": label, **_columns(_thinned(frame))}
            for name, label, frame in _found(stage, progress, chart)
        ]
        if curves:
            yield {"title": chart.title, "percent": chart.percent, "curves": curves}


def _found(stage: StageRun, progress: Progress, chart: Chart) -> list[tuple[str, str, pd.DataFrame]]:
    """(metric, label, its values "y" beside the places of AXES) of what the stage logged of a chart."""
    found = []
    for pattern, label in chart.curves.items():
        for name in (name for name in stage.metrics.frame if fnmatch(name, pattern)):
            values = stage.metrics.values(name)
            if len(values) and not (pattern == "rollout/reward" and not stage.change and found):
                found.append((name, label or name, _placed(progress, values)))
    return found


def _placed(progress: Progress, values: pd.Series) -> pd.DataFrame:
    import numpy as np

    frame = values.to_frame("y")
    frame["update"] = frame.index + 1
    for name, so_far in progress.items():
        places = so_far.index.searchsorted(frame.index, side="right")
        frame[name] = np.concatenate([[0.0], so_far.to_numpy()])[places]
    return frame


def _progress(stage: StageRun) -> Progress:
    """By step, so far: rollouts, tokens, and minutes of rollouts and updates."""
    metrics = stage.metrics
    rollouts = metrics.values("rollout/reward")
    known: dict[str, Any] = {
        "rollout": rollouts.expanding().count(),
        "tokens": metrics.values("rollout/generated_tokens" if len(rollouts) else "train/num_tokens"),
        "minutes": metrics.seconds() / 60,
    }
    return {name: values for name, values in known.items() if len(values)}


def _averaged(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Mean and standard error over runs at the steps that all of them logged, or at all if there are none."""
    import pandas as pd

    rows: Any = pd.concat(frames).groupby(level="step")
    mean, error, count = rows.mean(), rows["y"].sem(), rows["y"].count()
    shared = count == len(frames)
    mean = mean.assign(low=mean["y"] - error, high=mean["y"] + error)
    return mean[shared] if shared.any() else mean


def _thinned(frame: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    if len(frame) <= most:
        return frame
    stretches: Any = [i * most // len(frame) for i in range(len(frame))]
    means: Any = frame.groupby(stretches).mean()
    return means


def stations(curve: Mapping[str, Any], percent: bool) -> list[str]:
    """A curve as a row of text: its value at the start, quarters and end, the smallest, the largest."""
    values = [value for value in curve["y"] if value is not None]
    along = [values[i * (len(values) - 1) // 4] for i in range(5)]
    form = "{:.1%}" if percent else "{:.4g}"
    return [form.format(value) for value in (*along, min(values), max(values))]


def _columns(frame: pd.DataFrame) -> dict[str, list[float | None]]:
    return {name: [_short(value) for value in frame[name]] for name in frame if frame[name].notna().any()}


def _short(value: float) -> float | None:
    """Five digits; None for what is not a number."""
    if value != value:
        return None
    rounded = float(f"{value:.5g}")
    return int(rounded) if rounded.is_integer() else rounded

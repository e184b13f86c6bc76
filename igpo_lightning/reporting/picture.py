"""One picture of a run. matplotlib is imported when a picture is drawn, not before."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.reporting.run import Points, Run, StageRun, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
OWN, HINTED, RIGHT, WARN = "#3e4c9a", "#e08e0b", "#1b998b", "#c8553d"

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "figure.facecolor": "white",
    "axes.edgecolor": GRID, "axes.labelcolor": MUTED, "axes.facecolor": "white", "axes.linewidth": 1.0,
    "axes.grid": True, "axes.axisbelow": True, "axes.titlesize": 11.5, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 10, "axes.spines.top": False, "axes.spines.right": False,
    "grid.color": GRID, "grid.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False, "legend.fontsize": 9,
    "lines.linewidth": 2.0, "lines.solid_capstyle": "round",
}  # fmt: skip

_SMOOTH = 12  # a running mean reaches over 1/12 of a curve to either side; shorter curves stay as they are
_MOST_SMOOTHED = 25  # points on either side; more would bend a steep start

Panel = Callable[["Axes"], None]


def picture(run: Run, path: str | Path) -> Path:
    """Draw what the run measured, one panel per question, into a PNG at ``path``."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = _panels(run)
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    lines = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.7 * columns, 3.5 * lines + 0.9), layout="constrained")
        FigureCanvasAgg(figure)  # no window system, whatever backend the user has chosen
        figure.get_layout_engine().set(
            w_pad=0.12, h_pad=0.12, rect=(0, 0, 1, 1 - 0.75 / figure.get_figheight())
        )
        _headline(figure, run)
        axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
        for draw, ax in zip(panels, axes, strict=False):
            draw(ax)
            ax.xaxis.get_major_locator().set_params(integer=True)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
        figure.savefig(path, dpi=150)
    return Path(path)


def _panels(run: Run) -> list[Panel]:
    """The questions this run can answer, in reading order."""
    panels: list[Panel] = []
    if (rollouts := run.rollouts) is not None:
        panels += [partial(_reward, rollouts), partial(_all_wrong, rollouts)]
    if run.accuracies() or any(stage.metrics.last("val/accuracy") is not None for stage in run.stages):
        panels.append(partial(_accuracy, run))
    if rollouts is not None:
        if rollouts.has_hints:
            panels.append(partial(_hints, rollouts))
        panels.append(partial(_update, rollouts))
    if (supervised := run.supervised) is not None:
        panels.append(partial(_supervised_loss, supervised))
        if rollouts is None:
            panels.append(partial(_token_accuracy, supervised))
    return panels


def _headline(figure: Any, run: Run) -> None:
    top = 1 - 0.14 / figure.get_figheight()
    figure.text(0.012, top, run.title, fontsize=16, fontweight="bold", va="top")
    points = [f"{when} {100 * accuracy.value:.1f}%" for when, accuracy in run.accuracies()]
    line = "held-out accuracy:  " + "   →   ".join(points) if points else ""
    if not run.finished:
        line = "   ".join(filter(None, ("unfinished run", line)))
    figure.text(0.012, top - 0.36 / figure.get_figheight(), line, fontsize=10.5, color=MUTED, va="top")


def _reward(run: StageRun, ax: Axes) -> None:
    ax.set(title="Reward", xlabel="rollouts")
    if run.has_hints:
        after = _line(ax, run, "rollout/reward", HINTED, "after hints")
        before = _line(ax, run, "rollout/reward_before", OWN, "the model alone")
        _between(ax, before, after, HINTED)
    else:
        _line(ax, run, "rollout/reward", OWN, "the model alone")
    _legend(ax)


def _all_wrong(run: StageRun, ax: Axes) -> None:
    ax.set(title="Groups with no correct completion", xlabel="rollouts", ylim=(-0.03, 1.03))
    before = _line(
        ax, run, "rollout/all_wrong_before", WARN, "before hints" if run.has_hints else "all wrong"
    )
    if run.has_hints:
        after = _line(ax, run, "rollout/all_wrong_after", RIGHT, "after hints")
        _between(ax, before, after, RIGHT)
    _shares(ax)
    _legend(ax)


def _between(ax: Axes, before: Points, after: Points, colour: str) -> None:
    """Shade what hints changed, if both curves stand on the same rollouts."""
    if before[0] == after[0]:
        ax.fill_between(before[0], before[1], after[1], color=colour, alpha=0.12, linewidth=0)


def _hints(run: StageRun, ax: Axes) -> None:
    ax.set(title="Hinted completions that are correct", xlabel="rollouts", ylim=(-0.03, 1.03))
    _line(ax, run, "rollout/hint_success", HINTED, "of those that were given hints")
    _shares(ax)


def _update(run: StageRun, ax: Axes) -> None:
    ax.set(title="Size of the update", xlabel="rollouts")
    _line(ax, run, "train/kl", OWN, "KL to the reference")
    _line(ax, run, "train/clip_fraction", WARN, "share of clipped ratios")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    _legend(ax)


def _accuracy(run: Run, ax: Axes) -> None:
    """During the last stage as a line; before and after each stage as points with 95% intervals."""
    main = run.rollouts or run.supervised
    ax.set(title="Validation accuracy", xlabel="rollouts" if main.has_rollouts else "step")
    metrics = main.metrics
    during = metrics.by_rollout("val/accuracy") if main.has_rollouts else metrics.series("val/accuracy")
    if during[0]:
        ax.plot(*during, color=RIGHT, marker="o", markersize=3.5, label=f"during {label(main.stage)}")
    length = _length(main)
    places = {f"before {label(main.stage)}": 0.0, f"after {label(main.stage)}": length}
    points = run.accuracies()
    for i, (when, accuracy) in enumerate(points):
        follows = i + 1 < len(points) and points[i + 1][0] == f"after {label(main.stage)}"
        place = places.get(when, 0.0 if follows else None)
        if place is None:
            ax.axhline(accuracy.value, color=MUTED, linestyle=(0, (2, 3)), linewidth=1.5, label=when)
            continue
        bounds = accuracy.interval() or (accuracy.value, accuracy.value)
        errors = [[accuracy.value - bounds[0]], [bounds[1] - accuracy.value]]
        colour = INK if place else OWN
        ax.errorbar(
            place, accuracy.value, yerr=errors, color=colour, fmt="o", markersize=7, capsize=4, label=when
        )
    if run.test is not None:
        ax.axhline(run.test.value, color=WARN, linestyle=(0, (6, 3)), linewidth=1.5, label="test, at the end")
    ax.set_ylim(bottom=0, top=max(0.01, ax.get_ylim()[1]))
    ax.margins(x=0.06)
    _shares(ax)
    _legend(ax)


def _supervised_loss(run: StageRun, ax: Axes) -> None:
    ax.set(title=f"{label(run.stage)} loss", xlabel="step")
    _line(ax, run, "train/loss", OWN, "training")
    _line(ax, run, "val/loss", HINTED, "validation")
    _legend(ax)


def _token_accuracy(run: StageRun, ax: Axes) -> None:
    ax.set(title="Masked tokens predicted", xlabel="step", ylim=(-0.03, 1.03))
    _line(ax, run, "train/token_accuracy", OWN, "training")
    _line(ax, run, "val/token_accuracy", HINTED, "validation")
    _shares(ax)
    _legend(ax)


def _line(ax: Axes, run: StageRun, name: str, colour: str, text: str) -> Points:
    """One metric: the raw values faint, their running mean on top; returns what is drawn on top."""
    x, y = run.metrics.by_rollout(name) if run.has_rollouts else run.metrics.series(name)
    if not x:
        return [], []
    smooth = running_mean(y, min(len(y) // _SMOOTH, _MOST_SMOOTHED))
    if len(y) >= _SMOOTH:
        ax.plot(x, y, color=colour, alpha=0.22, linewidth=1.0)
    ax.plot(x, smooth, color=colour, label=text, marker=None if len(y) >= _SMOOTH else "o", markersize=3.5)
    return x, smooth


def running_mean(values: list[float], half: int) -> list[float]:
    """Mean of each value and up to ``half`` neighbours on either side, fewer at the ends."""
    parts = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in parts]


def _length(run: StageRun) -> float:
    if run.has_rollouts:
        return float(len(run.metrics.series("rollout/reward")[0]))
    return max((row.get("step", 0.0) for row in run.metrics.rows), default=0.0)


def _shares(ax: Axes) -> None:
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="best")

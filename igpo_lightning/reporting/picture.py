"""One picture of a run. matplotlib is imported when a picture is drawn, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.reporting.run import Run, StageRun, label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
OWN, HINTED, RIGHT, WARN = "#3e4c9a", "#e08e0b", "#1b998b", "#c8553d"

COLOURS = (OWN, HINTED, RIGHT, WARN, "#7b5ea7", "#5b8c5a", "#a0522d", "#4c9aa8")  # of lines side by side

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
Curve = tuple[str, str, str]  # metric, colour, name in the legend


def picture(run: Run, path: str | Path) -> Path:
    """Draw what the run measured, one panel per question, into a PNG at ``path``."""
    panels = _panels(run)
    columns = 2 if len(panels) in (2, 4) else min(3, len(panels))
    lines = -(-len(panels) // columns)
    height = 3.5 * lines + 0.9
    with drawn(path, 4.7 * columns, height) as figure:
        leave_head(figure, 1 - 0.75 / height)
        figure.text(0.012, 1 - 0.14 / height, run.title, fontsize=16, fontweight="bold", va="top")
        figure.text(0.012, 1 - 0.5 / height, _headline(run), fontsize=10.5, color=MUTED, va="top")
        axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
        for draw, ax in zip(panels, axes, strict=False):
            draw(ax)
            ax.xaxis.get_major_locator().set_params(integer=True)
        for ax in axes[len(panels) :]:
            ax.set_axis_off()
    return Path(path)


@contextmanager
def drawn(path: str | Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches in the style of reports, which becomes a PNG at ``path`` at the end."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: Any = STYLE
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)  # no window system, whatever backend the user has chosen
        yield figure
        figure.savefig(path, dpi=150)


def leave_head(figure: Figure, top: float) -> None:
    """Keep the axes below the share ``top`` of the figure's height: above it a title has room."""
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.12, h_pad=0.12, rect=(0, 0, 1, top))


def _headline(run: Run) -> str:
    points = "   →   ".join(f"{when} {100 * accuracy.value:.1f}%" for when, accuracy in run.accuracies())
    parts = ("" if run.finished else "unfinished run", points and f"held-out accuracy:  {points}")
    return "   ".join(filter(None, parts))


def _panels(run: Run) -> list[Panel]:
    """The questions this run can answer, in reading order."""
    rollouts, supervised = run.rollouts, run.supervised
    panels = list(_rollout_panels(rollouts)) if rollouts else []
    if run.accuracies() or any(stage.metrics.last("val/accuracy") is not None for stage in run.stages):
        panels.insert(2, partial(_accuracy, run))
    if supervised:
        panels.append(partial(_curves, supervised, f"{label(supervised.stage)} loss", _learned("loss")))
        if not rollouts:
            guessed = _learned("token_accuracy")
            panels.append(partial(_curves, supervised, "Masked tokens predicted", guessed, shares=True))
    return panels


def _learned(name: str) -> list[Curve]:
    return [(f"train/{name}", OWN, "training"), (f"val/{name}", HINTED, "validation")]


def _rollout_panels(run: StageRun) -> Iterator[Panel]:
    reward = [(run.own_reward, OWN, "the model alone")]
    wrong = [("rollout/all_wrong_before", WARN, "all wrong")]
    if run.change:
        sampled, final = run.change
        reward.insert(0, ("rollout/reward", HINTED, final))
        wrong = [("rollout/all_wrong_before", WARN, sampled), ("rollout/all_wrong_after", RIGHT, final)]
    yield partial(_curves, run, "Reward", reward, between=HINTED)
    yield partial(_curves, run, "Groups with no correct completion", wrong, between=RIGHT, shares=True)
    if run.has_second_tries:
        tried = [("rollout/hint_success", HINTED, "")]
        yield partial(_curves, run, "Second tries that are correct", tried, shares=True)
    update = [
        ("train/kl", OWN, "KL to the reference"),
        ("train/clip_fraction", WARN, "share of clipped ratios"),
    ]
    yield partial(_curves, run, "Size of the update", update, from_zero=True)


def _curves(
    run: StageRun, title: str, curves: Sequence[Curve], ax: Axes, *, shares: bool = False,
    between: str | None = None, from_zero: bool = False,
) -> None:  # fmt: skip
    """Metrics of one stage: the raw values faint, their running mean on top.

    Args:
        shares: They are in [0, 1], and shown in percent.
        between: Colour of the ground between two curves that have the same x: what changed the groups.
        from_zero: The axis includes zero.
    """
    ax.set(title=title, xlabel=run.along)
    shown = []
    for name, colour, text in curves:
        raw = run.curve(name)
        if raw.empty:
            continue
        is_long = len(raw) >= _SMOOTH
        if is_long:
            ax.plot(raw, color=colour, alpha=0.22, linewidth=1.0)
        smooth = running_mean(raw, min(len(raw) // _SMOOTH, _MOST_SMOOTHED))
        ax.plot(smooth, color=colour, label=text, marker=None if is_long else "o", markersize=3.5)
        shown.append(smooth)
    if between and len(shown) == 2 and shown[0].index.equals(shown[1].index):
        ax.fill_between(shown[0].index, *shown, color=between, alpha=0.12, linewidth=0)
    if shares:
        ax.set_ylim(-0.03, 1.03)
        in_percent(ax)
    if from_zero:
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    _legend(ax)


def _accuracy(run: Run, ax: Axes) -> None:
    """During the last stage as a line; before and after each stage as points with 95% intervals."""
    main = run.main
    assert main is not None  # there is something to draw
    metrics, name = main.metrics, label(main.stage)
    ax.set(title="Validation accuracy", xlabel=main.along)
    during = main.curve("val/accuracy")
    if len(during):
        ax.plot(during, color=RIGHT, marker="o", markersize=3.5, label=f"during {name}")
    end = len(metrics.values("rollout/reward")) or max(metrics.frame.index, default=0)
    points = run.accuracies()
    names = [when for when, _ in points]
    for (when, accuracy), following in zip(points, [*names, None][1:], strict=True):
        if when == f"after {name}":
            place, colour = end, INK
        elif when == f"before {name}" or following == f"after {name}":
            place, colour = 0, OWN
        else:
            ax.axhline(accuracy.value, color=MUTED, linestyle=(0, (2, 3)), linewidth=1.5, label=when)
            continue
        low, high = accuracy.interval() or (accuracy.value, accuracy.value)
        errors = [[accuracy.value - low], [high - accuracy.value]]
        ax.errorbar(place, accuracy.value, errors, color=colour, fmt="o", markersize=7, capsize=4, label=when)
    if run.test is not None:
        ax.axhline(run.test.value, color=WARN, linestyle=(0, (6, 3)), linewidth=1.5, label="test, at the end")
    top = max(0.01, ax.get_ylim()[1])
    ax.set_ylim(-0.03 * top, top)  # whole points at 0
    ax.margins(x=0.06)
    in_percent(ax)
    _legend(ax)


def running_mean(values: pd.Series, half: int) -> pd.Series:
    """Mean of each value and up to ``half`` neighbours on either side, fewer at the ends."""
    smooth: Any = values.rolling(2 * half + 1, center=True, min_periods=1).mean()
    return smooth


def in_percent(ax: Axes) -> None:
    """Show shares as percentages at the y axis."""
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, borderaxespad=0)  # off the data

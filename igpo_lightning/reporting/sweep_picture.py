"""One picture of a sweep: the compared figure against what was swept, each seed as a dot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.reporting.picture import HINTED, INK, MUTED, OWN, RIGHT, STYLE, WARN
from igpo_lightning.reporting.sweep import Group, SweepResult, is_interval, short, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = (OWN, HINTED, RIGHT, WARN, "#7b5ea7", "#5b8c5a", "#a0522d", "#4c9aa8")
_MOST_BARS, _MOST_LEVEL = 40, 5  # names at a picture's foot: at all, and without a slant
_LOGARITHMIC = 20  # largest value over smallest from which an axis counts in factors


def sweep_picture(result: SweepResult, path: str | Path) -> Path | None:
    """Draw the sweep into a PNG at ``path``; None if no job measured the figure.

    One axis against the first key that is a number or an interval (or bars, for words), one colour for
    each choice of the other keys. Where that would be too many colours, one axis for each key.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    groups = [group for group in result.groups if result.metric in group.figures]
    if not groups:
        Path(path).unlink(missing_ok=True)
        return None
    first = next((key for key in result.keys if _is_scale(groups, key)), next(iter(result.keys), None))
    others = [key for key in result.keys if key != first]
    lines = _lines(groups, others)
    panels = [(first, lines)] if len(lines) <= len(COLOURS) else [(key, {"": groups}) for key in result.keys]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(6.4, 4.6 * len(panels)), 4.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for (key, shown), ax in zip(panels, axes, strict=True):
            _panel(ax, result, key, shown, joined=len(panels) == 1)
        axes[0].set_ylabel(result.figures[result.metric].label)
        figure.suptitle(_headline(groups), x=0.01, ha="left", fontsize=10, color=MUTED)
        figure.savefig(path, dpi=150)
    return Path(path)


def _headline(groups: Sequence[Group]) -> str:
    counts = sorted({len(group.jobs) for group in groups})
    if counts == [1]:
        return "one job each"
    jobs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"mean and standard error of {jobs} jobs each; small dots are jobs"


def _lines(groups: Sequence[Group], keys: Sequence[str]) -> dict[str, list[Group]]:
    """Groups by what they have at ``keys``."""
    lines: dict[str, list[Group]] = {}
    for group in groups:
        label = ", ".join(f"{short(key)} {show(group.values[key])}" for key in keys)
        lines.setdefault(label, []).append(group)
    return lines


def _panel(
    ax: Axes, result: SweepResult, key: str | None, lines: dict[str, list[Group]], *, joined: bool
) -> None:
    groups = [group for line in lines.values() for group in line]
    scale = key is not None and _is_scale(groups, key)
    names = list(dict.fromkeys(_category(group, key) for group in groups))
    for i, (label, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        if scale:
            _scale_line(ax, result, key, line, colour, label, joined=joined)
        elif not joined:  # groups that share a name here differ in another key: bars would hide each other
            for group in line:
                _point(ax, result, group, names.index(_category(group, key)), colour)
        else:
            width = 0.8 / len(lines)
            _bars(ax, result, key, line, colour, label, (i - (len(lines) - 1) / 2) * width, width, names)
    ax.set_xlabel(short(key) if key else "")
    if scale:
        _scale_ticks(ax, groups, key)
    else:
        _name_ticks(ax, names)
    ax.margins(x=0.08)
    if result.figures[result.metric].percent:
        ax.yaxis.set_major_formatter("{x:.0%}")
    if len(lines) > 1:
        ax.legend()


def _scale_line(
    ax: Axes, result: SweepResult, key: str, line: list[Group], colour: str, label: str, *, joined: bool
) -> None:
    line = sorted(line, key=lambda group: _place(group.values[key]))
    x = [_place(group.values[key]) for group in line]
    y = [group.figures[result.metric].mean for group in line]
    errors = [_error(group, result) for group in line]
    for group, mean in zip(line, y, strict=True):
        if isinstance(group.values[key], tuple):
            ax.hlines(mean, *group.values[key], color=colour, alpha=0.25, linewidth=7)
    style = "o-" if joined else "o"
    ax.errorbar(x, y, errors, color=colour, fmt=style, markersize=6, capsize=4, elinewidth=1.4, label=label)
    for at, group in zip(x, line, strict=True):
        _seeds(ax, result, group, at, colour)


def _point(ax: Axes, result: SweepResult, group: Group, at: float, colour: str) -> None:
    mean = group.figures[result.metric].mean
    ax.errorbar(at, mean, _error(group, result), color=colour, fmt="o", markersize=6, capsize=4, alpha=0.8)


def _bars(
    ax: Axes, result: SweepResult, key: str | None, line: list[Group], colour: str, label: str, offset: float,
    width: float, names: list[str],
) -> None:  # fmt: skip
    for group in line:
        at, figure = names.index(_category(group, key)) + offset, group.figures[result.metric]
        ax.bar(at, figure.mean, width * 0.9, color=colour, alpha=0.85, label=label or None)
        ax.errorbar(at, figure.mean, _error(group, result), color=INK, capsize=4, linewidth=1.4)
        _seeds(ax, result, group, at, INK)
        label = ""  # once in the legend


def _error(group: Group, result: SweepResult) -> float:
    """NaN draws no bar: one job has no error."""
    error = group.figures[result.metric].error
    return math.nan if error is None else error


def _seeds(ax: Axes, result: SweepResult, group: Group, at: float, colour: str) -> None:
    """The jobs themselves, faint: how many there are and how far apart."""
    if len(group.jobs) < 2:
        return
    values = [result.figures[result.metric].read(job.run) for job in group.jobs]
    shown = [value for value in values if value is not None]
    ax.scatter([at] * len(shown), shown, s=14, color=colour, alpha=0.45, linewidths=0, zorder=3)


def _scale_ticks(ax: Axes, groups: Sequence[Group], key: str) -> None:
    """A tick for every value, if they are few; factors where values span several."""
    values = sorted({group.values[key] for group in groups}, key=_place)
    places = [_place(value) for value in values]
    if places[0] > 0 and places[-1] / places[0] >= _LOGARITHMIC:
        ax.set_xscale("log")
    if len(values) <= 8:
        ax.set_xticks(places, [show(value) for value in values])
        ax.minorticks_off()


def _name_ticks(ax: Axes, names: Sequence[str]) -> None:
    """A tick for every bar; slanted where there are many, none where they could not be read."""
    slanted = len(names) > _MOST_LEVEL
    shown = names if len(names) <= _MOST_BARS else []
    ax.set_xticks(range(len(shown)), shown, rotation=40 * slanted, ha="right" if slanted else "center")


def _category(group: Group, key: str | None) -> str:
    return group.label if key is None else show(group.values[key])


def _is_scale(groups: Sequence[Group], key: str) -> bool:
    """True if every value is a number, or every one an interval."""
    values = [group.values[key] for group in groups]
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return len(set(values)) > 1 and (numbers or all(is_interval(v) for v in values))


def _place(value: Any) -> float:
    return sum(value) / 2 if isinstance(value, tuple) else float(value)

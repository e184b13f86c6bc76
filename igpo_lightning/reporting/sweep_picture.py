"""One picture of a sweep: the compared figure against what was swept, each seed as a dot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from igpo_lightning.amounts import is_number
from igpo_lightning.reporting.picture import COLOURS, INK, MUTED, drawn, in_percent
from igpo_lightning.reporting.settings import shortened, show
from igpo_lightning.reporting.sweep import Group, SweepResult, is_interval, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS, _LONGEST = 40, 30  # names at a picture's foot, and characters of a name
_LEVEL = 9  # characters without a slant for each inch of a panel
_LOGARITHMIC = 20  # largest value over smallest from which an axis counts in factors


def sweep_picture(result: SweepResult, path: str | Path) -> Path | None:
    """Draw the sweep into a PNG at ``path``; None if no job measured the figure.

    One axis against the first key that is a number or an interval (or bars, for words), one colour for
    each choice of the other keys. Where that would be too many colours, one axis for each key.
    """
    groups = [group for group in result.groups if group.figures[result.metric].n]
    if not groups:
        Path(path).unlink(missing_ok=True)
        return None
    first = next((key for key in result.keys if _is_scale(groups, key)), next(iter(result.keys), None))
    lines: dict[str, list[Group]] = {}
    for group in groups:
        others = (f"{short(key)} {show(value)}" for key, value in group.values.items() if key != first)
        lines.setdefault(", ".join(others), []).append(group)
    panels = [(first, lines)] if len(lines) <= len(COLOURS) else [(key, {"": groups}) for key in result.keys]
    inches = max(6.4, 4.6 * len(panels))
    with drawn(path, inches, 4.4) as figure:
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for (key, shown), ax in zip(panels, axes, strict=True):
            _panel(ax, result, key, shown, inches / len(panels), alone=len(panels) == 1)
        axes[0].set_ylabel(result.figures[result.metric].label)
        figure.suptitle(_headline(groups), x=0.01, ha="left", fontsize=10, color=MUTED)
    return Path(path)


def _headline(groups: Sequence[Group]) -> str:
    counts = sorted({len(group.jobs) for group in groups})
    if counts == [1]:
        return "one job each"
    jobs = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"mean and standard error of {jobs} jobs each; small dots are jobs"


def _panel(
    ax: Axes, result: SweepResult, key: str | None, lines: dict[str, list[Group]], inches: float, *,
    alone: bool,
) -> None:  # fmt: skip
    """The groups against one key, so many ``inches`` wide; ``alone`` if no other panel is about another key.

    Only then are groups joined to lines or shown as bars: else those beside each other differ in other keys.
    """
    groups = [group for line in lines.values() for group in line]
    names = list(dict.fromkeys(_category(group, key) for group in groups))
    # The key of a numeric axis; of none, groups stand side by side by name.
    scale = key if key is not None and _is_scale(groups, key) else None
    width = 0.8 / len(lines)
    for i, (text, line) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        if scale is not None:
            line = sorted(line, key=lambda group: _place(group.values[scale]))
            x = [_place(group.values[scale]) for group in line]
        else:
            x = [names.index(_category(group, key)) + (i - (len(lines) - 1) / 2) * width for group in line]
        means = [group.figures[result.metric].mean for group in line]
        errors = [group.figures[result.metric].error for group in line]  # NaN, of one job, draws no bar
        if alone and scale is None:
            ax.bar(x, means, 0.9 * width, color=colour, alpha=0.85, label=shortened(text, 2 * _LONGEST))
            ax.errorbar(x, means, errors, color=INK, fmt="none", capsize=4, elinewidth=1.4)
            colour = INK
        else:
            look = {"fmt": "o-" if alone else "o", "markersize": 6, "capsize": 4, "elinewidth": 1.4}
            ax.errorbar(x, means, errors, color=colour, label=shortened(text, 2 * _LONGEST), **look)
        for at, group, mean in zip(x, line, means, strict=True):
            if scale is not None and is_interval(group.values[scale]):
                ax.hlines(mean, *group.values[scale], color=colour, alpha=0.25, linewidth=7)
            if len(group.jobs) > 1:  # the jobs themselves: how many there are and how far apart
                dots = result.measured.loc[[job.name for job in group.jobs], result.metric]
                ax.scatter([at] * len(dots), dots, s=14, color=colour, alpha=0.45, linewidths=0, zorder=3)
    ax.set_xlabel(short(key) if key else "")
    if scale is not None:
        _scale_ticks(ax, sorted({group.values[scale] for group in groups}, key=_place))
    else:
        _name_ticks(ax, names, inches)
    ax.margins(x=0.08)
    if result.figures[result.metric].percent:
        in_percent(ax)
    if len(lines) > 1:
        ax.legend()


def _scale_ticks(ax: Axes, values: Sequence[Any]) -> None:
    """A tick for every value, if they are few; factors where values span several."""
    places = [_place(value) for value in values]
    if places[0] > 0 and places[-1] / places[0] >= _LOGARITHMIC:
        ax.set_xscale("log")
    if len(values) <= 8:
        ax.set_xticks(places, [show(value) for value in values])
        ax.minorticks_off()


def _name_ticks(ax: Axes, names: Sequence[str], inches: float) -> None:
    """A tick for every bar; slanted where there is no room, none where they could not be read."""
    shown = [shortened(name, _LONGEST) for name in names] if len(names) <= _MOST_BARS else []
    slanted = len(shown) * max(map(len, shown), default=0) > _LEVEL * inches
    ax.set_xticks(range(len(shown)), shown, rotation=40 * slanted, ha="right" if slanted else "center")


def _category(group: Group, key: str | None) -> str:
    return group.label if key is None else show(group.values[key])


def _is_scale(groups: Sequence[Group], key: str) -> bool:
    """True if every value is a number, or every one an interval."""
    values = [group.values[key] for group in groups]
    return len(set(values)) > 1 and (all(map(is_number, values)) or all(map(is_interval, values)))


def _place(value: Any) -> float:
    return sum(value) / 2 if isinstance(value, tuple) else float(value)

"""Results as pictures: bars of seconds by phase, and curves of how they grow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from typing import TYPE_CHECKING

from ..reporting.picture import COLOURS, HINTED, INK, MUTED, OWN, RIGHT, WARN, drawn
from .rounds import PUBLISHED, Result
from .tables import growth, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PHASES = {"sample": OWN, "score": WARN, "log-probs": HINTED, "update": RIGHT}


def bars(results: Sequence[Result], path: str | Path, title: str) -> None:
    """Seconds of each case as a bar, cut into its phases, with its ratio; a panel for each kind of work."""
    kinds = list(dict.fromkeys(result.what for result in results))
    most = max(sum(result.what == kind for result in results) for kind in kinds)
    with drawn(path, 4.8 * len(kinds) + 0.4, 1.5 + 0.5 * most) as figure:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=MUTED)
        for kind, ax in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
            _bars(ax, kind, [result for result in results if result.what == kind])


def curves(results: Sequence[Result], path: str | Path) -> None:
    """Seconds against each size that was swept, in factors on both axes; a row a size, a column a kind."""
    from matplotlib.ticker import LogLocator

    lines = growth(results)
    sizes, kinds, names = (list(dict.fromkeys(key[i] for key in lines)) for i in range(3))
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    with drawn(path, 4.6 * len(kinds), 3.4 * len(sizes)) as figure:
        grid = figure.subplots(len(sizes), len(kinds), squeeze=False)
        for (size, kind), ax in zip(product(sizes, kinds), grid.ravel(), strict=True):
            shown = [(name, line) for (*key, name), line in lines.items() if key == [size, kind]]
            if not shown:
                ax.set_axis_off()
            for name, line in shown:
                values, measured = zip(*line, strict=True)
                heights = [result.seconds for result in measured]
                ax.plot(values, heights, color=colours[name], marker="o", label=name)
                ax.set(
                    title=kind, xlabel=size.replace("_", " "), xscale="log", yscale="log", ylabel="seconds"
                )
                ax.set_xticks(values, [f"{value:,}" for value in values])
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
                ax.minorticks_off()
                ax.legend(loc="best")


def _bars(ax: Axes, kind: str, results: Sequence[Result]) -> None:
    for place, result in enumerate(results):
        left = 0.0
        for name, length in (result.phases or {"": result.seconds}).items():
            colour = _PHASES.get(name, MUTED if result.name == PUBLISHED else OWN)
            ax.barh(place, length, left=left, color=colour, height=0.62, label=name or None)
            left += length
        ratio = "" if result.ratio is None or result.name == PUBLISHED else f", {result.ratio:.1f}×"
        ax.text(left, place, f"  {seconds(result.seconds)} s{ratio}", va="center", fontsize=9, color=INK)
    ax.set(title=kind, xlabel="seconds")
    ax.set_yticks(range(len(results)), [result.name for result in results])
    ax.invert_yaxis()
    ax.margins(x=0.3)
    ax.grid(visible=False, axis="y")
    named = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if named:
        ax.legend(named.values(), named.keys(), loc="lower right")

"""A claim's results as a picture."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plan import Plan
from stats import Interval, lead, tested

Arms = Mapping[str, Mapping[int, Mapping[str, Any]]]  # arm, seed of the start, what the run measured
_COLOURS = ("#2b6cb0", "#8a8f98", "#d98c2b", "#4a9d5b", "#a1529b", "#c0504d", "#5aa9b5")


def picture(plan: Plan, arms: Arms, path: Path) -> None:
    """Draw what a claim found.

    Left: validation accuracy over updates, one line a start, the mean thick; where there are more arms than
    can be told apart, how they rank in test accuracy instead. Right: paired leads.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    many = len(arms) > len(_COLOURS)
    size = (10, max(4.0, 0.3 * len(arms)))
    figure, axes = plt.subplots(1, 2, figsize=size, layout="constrained", width_ratios=(3, 2))
    colours = dict(zip(plan.arms, itertools.cycle(_COLOURS), strict=False))
    for draw, place in zip((_draw_ranks if many else _draw_curves, _draw_leads), axes, strict=True):
        draw(plan, arms, colours, place)
        place.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _draw_curves(plan: Plan, arms: Arms, colours: Mapping[str, str], axes: Any) -> None:
    ends = {}
    for name, runs in arms.items():
        curves = [
            (r["curve"]["updates"], r["curve"]["accuracy"], r["validation_before"]) for r in runs.values()
        ]
        whole = [([0, *x], [before["value"], *y]) for x, y, before in curves]
        for x, y in whole:
            axes.plot(x, y, color=colours[name], alpha=0.2, linewidth=0.8)
        if len({tuple(x) for x, _ in whole}) == 1:
            mean = np.mean([y for _, y in whole], axis=0)
            axes.plot(whole[0][0], mean, color=colours[name], linewidth=2)
            ends[name] = (whole[0][0][-1], float(mean[-1]))
    for name, height in _apart({name: y for name, (_, y) in ends.items()}).items():
        place = (ends[name][0], height)
        axes.annotate(
            plan.arms[name].short, place, (5, 0), textcoords="offset points", va="center", color=colours[name]
        )
    axes.set(xlabel="updates", ylabel="validation accuracy", ylim=(0, 1))


def _draw_ranks(plan: Plan, arms: Arms, colours: Mapping[str, str], axes: Any) -> None:
    """Test accuracy of each arm, the best above: its runs, and their mean with its interval."""
    ranked = sorted(arms, key=lambda name: Interval.of(list(tested(arms[name]).values())).mean)
    for height, name in enumerate(ranked):
        _draw_interval(axes, list(tested(arms[name]).values()), height, colours[name])
    before = [run["validation_before"]["value"] for runs in arms.values() for run in runs.values()]
    axes.axvline(float(np.mean(before)), color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(ranked)), [plan.arms[name].short for name in ranked])
    axes.set(xlabel="test accuracy (dotted: validation before)", ylim=(-0.5, len(ranked) - 0.5))


def _draw_leads(plan: Plan, arms: Arms, colours: Mapping[str, str], axes: Any) -> None:
    others = [name for name in arms if name != plan.reference.name and plan.reference.name in arms]
    for height, name in enumerate(reversed(others)):
        _, differences = lead(tested(arms[plan.reference.name]), tested(arms[name]))
        if not differences:
            continue
        _draw_interval(axes, differences, height, colours[name])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(others)), [plan.arms[name].short for name in reversed(others)])
    axes.set(xlabel=f"test accuracy:\nlead of {plan.reference.short} over", ylim=(-0.5, len(others) - 0.5))


def _draw_interval(axes: Any, values: Sequence[float], height: float, colour: str) -> None:
    """One value of each start, and their mean with its interval."""
    interval = Interval.of(values)
    axes.plot(values, [height] * len(values), "o", color=colour, alpha=0.35, markersize=4)
    axes.plot([interval.low, interval.high], [height, height], color=colour, linewidth=2)
    axes.plot(interval.mean, height, "D", color=colour)


def _apart(heights: Mapping[str, float], least: float = 0.055) -> dict[str, float]:
    """Heights of labels, moved up where they would lie on each other."""
    found: dict[str, float] = {}
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        found[name] = max(height, max(found.values(), default=-1.0) + least)
    return found

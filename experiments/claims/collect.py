"""Results of a claim as tables and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jobs import OF_HINTS
from plan import Plan
from rates import best
from stats import Interval, lead, sign_flip_p, verdict

Result = dict[str, Any]
Arms = dict[str, dict[int, Result]]  # arm, seed of the start, what the run measured
Tuning = dict[str, dict[float, float]]  # arm, rate, mean validation accuracy of the tuning starts
_COLOURS = ("#2b6cb0", "#8a8f98", "#d98c2b", "#4a9d5b", "#a1529b", "#c0504d", "#5aa9b5")


def collect(folder: Path, plan: Plan, tuning: Tuning, arms: Arms) -> None:
    """Write ``results-TASK.md`` and ``results-TASK.png`` into the claim's folder."""
    arms = {name: runs for name, runs in arms.items() if runs}
    if not arms:
        raise SystemExit(f"{folder.name}: nothing has run yet")
    _check_alike(arms)
    parts = (
        table(plan, tuning, arms),
        leads(plan, arms),
        hints(plan, arms),
        rates(plan, tuning),
        source(arms),
    )
    text = "\n\n".join(part for part in (f"**{plan.claim}**", *parts) if part)
    (folder / f"results-{plan.task}.md").write_text(text + "\n")
    picture(plan, arms, folder / f"results-{plan.task}.png")
    print(text)


def _check_alike(arms: Arms) -> None:
    """Refuse to average over runs of an arm whose configs differ: a kept result may be an old one."""
    for name, runs in arms.items():
        known = {seed: run["settings"] for seed, run in runs.items() if "settings" in run}
        if len(set(known.values())) > 1:
            raise SystemExit(
                f"{name}: its runs had different settings ({known}); delete the results of the older ones"
            )


def tested(runs: Mapping[int, Result]) -> dict[int, float]:
    """Test accuracy by start."""
    return {seed: run["test"]["value"] for seed, run in runs.items()}


def table(plan: Plan, tuning: Tuning, arms: Arms) -> str:
    """Each arm's means over its starts, with 95 % intervals where the unit is the start."""
    lines = [
        "| | rate | validation before | **test after** | all-wrong groups, first tenth | last fifth "
        "| second tries right, first tenth | completions | tokens, millions | starts |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in arms.items():
        arm = plan.arms[name]
        rate = best(tuning[arm.rates_of or name])
        interval = Interval.of(list(tested(runs).values()))
        half = "" if np.isnan(interval.half) else f" ± {interval.half:.3f}"
        cells = [
            arm.label,
            f"{rate:.2g}",
            _cell(_mean(runs, "validation_before", "value")),
            f"**{interval.mean:.3f}**{half}",
            *(
                " → ".join(_cell(_mean(runs, part, f"all_wrong_{when}")) for when in ("before", "after"))
                for part in ("first_tenth", "last_fifth")
            ),
            _cell(_mean(runs, "first_tenth", "hint_success")),
            _cell(_average(run["completions"] for run in runs.values()), ",.0f"),
            _cell(_average(_millions(run) for run in runs.values()), ".2f"),
            str(len(runs)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def leads(plan: Plan, arms: Arms) -> str:
    """The reference's lead over each other arm, paired by start."""
    reference = plan.reference
    lines = [
        f"| lead of {reference.label} over | test accuracy, paired by start [95 % interval] | sign-flip p "
        "| n | verdict |",
        "|---|---|---|---|---|",
    ]
    for name, runs in arms.items():
        if name == reference.name or reference.name not in arms:
            continue
        seeds, differences = lead(tested(arms[reference.name]), tested(runs))
        if not seeds:
            continue
        interval = Interval.of(differences)
        lines.append(
            f"| {plan.arms[name].label} | {interval} | {sign_flip_p(differences):.3f} | {len(seeds)} "
            f"| {verdict(interval)} |"
        )
    return "\n".join(lines)


def hints(plan: Plan, arms: Arms) -> str:
    """Each arm's hints over whole runs; empty where no arm has any."""
    rows = {
        name: [_mean(runs, "hints", figure) for figure in OF_HINTS]
        for name, runs in arms.items()
        if _mean(runs, "hints", OF_HINTS[0])
    }
    if not rows:
        return ""
    lines = [
        "| over the whole run | hint tokens of a completion that has any | share of what carries gradient "
        "| of these, clipped |",
        "|---|---|---|---|",
    ]
    for name, means in rows.items():
        lines.append(f"| {plan.arms[name].label} | " + " | ".join(map(_cell, means)) + " |")
    return "\n".join(lines)


def rates(plan: Plan, tuning: Tuning) -> str:
    """Mean validation accuracy of the tuning starts at each rate."""
    grid = sorted({rate for means in tuning.values() for rate in means})
    others = len(plan.tuning_seeds)
    lines = [
        f"Learning rates, by validation accuracy after a whole run from {others} other starts:\n",
        "| | " + " | ".join(f"{rate:.2g}" for rate in grid) + " |",
        "|---|" + "---|" * len(grid),
    ]
    for name, means in tuning.items():
        top = best(means) if means else None
        cells = [
            "" if rate not in means else f"**{means[rate]:.3f}**" if rate == top else f"{means[rate]:.3f}"
            for rate in grid
        ]
        lines.append(f"| {plan.arms[name].label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def source(arms: Arms) -> str:
    """Where the results come from: commits, versions, time."""
    runs = [run for of in arms.values() for run in of.values()]
    commits = sorted({(run["provenance"]["git"] or {}).get("commit", "unknown")[:9] for run in runs})
    torch = sorted({str(run["provenance"]["packages"]["torch"]) for run in runs})
    hours = sum(run["seconds"] for run in runs) / 3600
    return (
        f"{len(runs)} runs, {hours:.1f} hours on one thread (starts and learning rates come on top); commit "
        f"{', '.join(commits)}; torch {', '.join(torch)}. Each run's overrides and figures: `results/`."
    )


def picture(plan: Plan, arms: Arms, path: Path) -> None:
    """Left: validation accuracy over updates, one line a start, the mean thick. Right: paired leads."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=(3, 2))
    colours = dict(zip(plan.arms, _COLOURS * 2, strict=False))
    for draw, place in zip((_draw_curves, _draw_leads), axes, strict=True):
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


def _draw_leads(plan: Plan, arms: Arms, colours: Mapping[str, str], axes: Any) -> None:
    others = [name for name in arms if name != plan.reference.name and plan.reference.name in arms]
    for height, name in enumerate(reversed(others)):
        _, differences = lead(tested(arms[plan.reference.name]), tested(arms[name]))
        if not differences:
            continue
        interval = Interval.of(differences)
        axes.plot(
            differences, [height] * len(differences), "o", color=colours[name], alpha=0.35, markersize=4
        )
        axes.plot([interval.low, interval.high], [height, height], color=colours[name], linewidth=2)
        axes.plot(interval.mean, height, "D", color=colours[name])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(others)), [plan.arms[name].short for name in reversed(others)])
    axes.set(xlabel=f"test accuracy: lead of {plan.reference.short} over", ylim=(-0.5, len(others) - 0.5))


def _apart(heights: Mapping[str, float], least: float = 0.055) -> dict[str, float]:
    """Heights of labels, moved up where they would lie on each other."""
    found: dict[str, float] = {}
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        found[name] = max(height, max(found.values(), default=-1.0) + least)
    return found


def _mean(runs: Mapping[int, Result], part: str, name: str) -> float | None:
    """Mean of a figure over the runs that have it."""
    return _average((run.get(part) or {}).get(name) for run in runs.values())


def _millions(run: Result) -> float | None:
    """Tokens that a run sampled; None if it samples nothing."""
    tokens = run["generated_tokens"]["tokens"]
    return tokens[-1] / 1e6 if tokens else None


def _average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _cell(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else f"{value:{form}}"

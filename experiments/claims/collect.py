"""Results of a claim as tables and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from curves import accuracy_after, seconds
from jobs import OF_HINTS
from pictures import picture
from plan import Plan
from rates import best
from stats import Interval, lead, sign_flip_p, tested, verdict

Result = dict[str, Any]
Arms = dict[str, dict[int, Result]]  # arm, seed of the start, what the run measured
Tuning = dict[str, dict[float, float]]  # arm, rate, mean validation accuracy of the tuning starts


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
        known = {seed: run.get("settings") for seed, run in runs.items()}  # None: older than this record
        if len(set(known.values())) > 1:
            raise SystemExit(
                f"{name}: its runs had different settings ({known}); delete the results of the older ones"
            )


def table(plan: Plan, tuning: Tuning, arms: Arms) -> str:
    """Each arm's means over its starts, with 95 % intervals where the unit is the start.

    "Test before" is the starts', of the same problems decoded in the same way. Seconds are those of rollouts
    and updates; at equal time, accuracy is that after the first arm's.
    """
    time = seconds(arms[next(iter(arms))])
    same_time = f"validation after {time:.0f} s" if time else "validation at equal time"
    lines = [
        f"| | rate | validation before | test before | **test after** | {same_time} | seconds "
        "| all-wrong groups, first tenth | last fifth | second tries right, first tenth | completions "
        "| tokens, millions | starts |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, runs in arms.items():
        arm = plan.arms[name]
        rate = best(tuning[arm.rates_of or name])
        interval = Interval.of(list(tested(runs).values()))
        spent = seconds(runs)
        half = "" if np.isnan(interval.half) else f" ± {interval.half:.3f}"
        cells = [
            arm.label,
            f"{rate:.3g}",
            _cell(_mean(runs, "validation_before", "value")),
            _cell(_of_all(run.get("test_before") for run in runs.values())),
            f"**{interval.mean:.3f}**{half}",
            _cell(_average(accuracy_after(run, time) for run in runs.values()) if time and spent else None),
            _cell(spent, ".0f"),
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
        "| | " + " | ".join(f"{rate:.3g}" for rate in grid) + " |",
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


def _of_all(values: Iterable[float | None]) -> float | None:
    """Mean; None if one is not known, as the others would be of other starts."""
    each = list(values)
    return None if None in each else _average(each)


def _cell(value: float | None, form: str = ".3f") -> str:
    return "–" if value is None else f"{value:{form}}"

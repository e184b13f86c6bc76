"""The files of a collected sweep: tables of groups and of jobs, a picture, one self-contained page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from igpo_lightning.reporting.curves import mean_curves
from igpo_lightning.reporting.noise import Figure, difference
from igpo_lightning.reporting.page import write_page
from igpo_lightning.reporting.result import Tile
from igpo_lightning.reporting.settings import show
from igpo_lightning.reporting.sweep import Group, SweepResult, short, value_of
from igpo_lightning.reporting.sweep_jobs import MEANINGS, Metric
from igpo_lightning.reporting.sweep_picture import sweep_picture
from igpo_lightning.reporting.table import aligned, percent

FILES = ("sweep.csv", "sweep_jobs.csv", "sweep.md", "sweep.png", "sweep.html")
_MOST_TILES = 6


def write_sweep(result: SweepResult) -> str:
    """Write FILES into the sweep's folder; returns the table of groups and the list of missing jobs."""
    folder, notes = result.folder, _notes(result)
    _write_csv(result)
    title = f"Sweep {folder.resolve().name}"
    text = "\n\n".join(filter(None, (table(result), "\n".join(notes), _missing(result))))
    drawn = sweep_picture(result, folder / "sweep.png")
    picture = "\n\n![sweep](sweep.png)" if drawn else ""
    (folder / "sweep.md").write_text(f"# {title}\n\n{text}{picture}\n", encoding="utf-8")
    _write_page(result, title, notes, drawn)
    return text


def _write_page(result: SweepResult, title: str, notes: list[str], drawn: Path | None) -> None:
    folder, jobs, missing = result.folder, result.jobs, result.missing
    pages = [(job, job.folder / "report.html") for job in jobs]
    arms = {
        group.label: [job.run.main for job in group.jobs if job.run and job.run.main]
        for group in result.groups
    }
    differences = [[key, *values] for key, values in result.differences]
    write_page(
        folder / "sweep.html",
        "sweep.html",
        drawn,
        sections={"arms": mean_curves(arms)},
        title=title,
        subtitle=f"{len(jobs) - len(missing)} of {len(jobs)} jobs finished",
        result=verdict(result),
        tiles=[_tile(result, group) for group in result.ranked[:_MOST_TILES]],
        groups=_cells(result),
        notes=[note.removeprefix("* ") for note in notes],
        differences=[["setting", *(group.label for group in result.groups)], *differences],
        missing=[[job.name, job.state, job.error or ""] for job in missing],
        jobs=[(job, page.exists() and Path(os.path.relpath(page, folder)).as_posix()) for job, page in pages],
    )


def verdict(result: SweepResult) -> str:
    """Say in a sentence which group is best, if any is outside the noise, and by how much."""
    compared, ranked = result.figures[result.metric], result.ranked
    by = compared.label.removesuffix(" after")
    if len(ranked) < 2:
        return f"Compared by {by}."
    first, second = ranked[:2]
    one, other = first.figures[result.metric], second.figures[result.metric]
    low, high = (_number(bound, compared) for bound in sorted(map(abs, difference(one, other))))
    told = f"{first.label} has {amount(one, compared)}, {second.label} {amount(other, compared)}"
    if result.best:
        return f"Best by {by}: {told}; the difference is {low} to {high} (95%)."
    if min(one.n, other.n) < 2:
        return f"No best by {by}: one run of a setting says nothing of the noise. {told}."
    return f"No best by {by}: the first two are within the noise (95%). {told}."


def _tile(result: SweepResult, group: Group) -> Tile:
    figure, compared = group.figures[result.metric], result.figures[result.metric]
    runs = f"n = {figure.n} run{'s' * (figure.n > 1)}"
    spread = f"± {_number(figure.error, compared)} (standard error), {runs}" if figure.n > 1 else runs
    best = "best: " if group is result.best else ""
    return Tile(
        f"{best}{group.label}",
        _number(figure.mean, compared),
        f"{compared.label.removesuffix(' after')}, {spread}",
    )


def table(result: SweepResult) -> str:
    """A Markdown table of groups that is also aligned plain text."""
    return aligned(_cells(result))


def _cells(result: SweepResult) -> list[list[str]]:
    head = [*map(short, result.keys), "jobs", *(figure.label for figure in result.figures.values()), ""]
    rows = [head]
    for group in result.groups:
        found = [_figure(group, name, figure) for name, figure in result.figures.items()]
        best = "best" if group is result.best else ""
        rows.append([*map(show, group.values.values()), str(len(group.jobs)), *found, best])
    return rows


def _figure(group: Group, name: str, metric: Metric) -> str:
    figure = group.figures[name]
    partial = f" (n = {figure.n})" if 0 < figure.n < len(group.jobs) else ""
    return amount(figure, metric) + partial


def amount(figure: Figure, metric: Metric) -> str:
    """``0.414 ± 0.012``, in percent where the metric is a share; without an error if there is one job."""
    if not figure.n:
        return ""
    mean = _number(figure.mean, metric)
    return mean if figure.n < 2 else f"{mean} ± {_number(figure.error, metric).removesuffix('%')}"


def _number(value: float, metric: Metric) -> str:
    return percent(value) if metric.percent else _digits(value)


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _notes(result: SweepResult) -> list[str]:
    meanings = [text for name, text in MEANINGS.items() if name in result.figures]
    many = any(len(group.jobs) > 1 for group in result.groups)
    spread = ["±: standard error of the mean over jobs"] if many else []
    return [f"* {note}" for note in (*meanings, *spread, *result.notes)]


def _missing(result: SweepResult) -> str:
    if not result.missing:
        return ""
    lines = [f"Not in the table: {len(result.missing)} of {len(result.jobs)} jobs are not finished.", ""]
    lines += [f"* {': '.join(filter(None, (job.name, job.state, job.error)))}" for job in result.missing]
    return "\n".join(lines)


def _write_csv(result: SweepResult) -> None:
    """Write the tables: a line for each group, and for each job."""
    import pandas as pd

    groups: dict[str, list[Any]] = {
        key: [show(group.values[key], None) for group in result.groups] for key in result.keys
    }
    groups["jobs"] = [len(group.jobs) for group in result.groups]
    for name in result.figures:
        for column, part in ((name, "mean"), (f"{name}_se", "error"), (f"{name}_n", "n")):
            groups[column] = [getattr(group.figures[name], part) for group in result.groups]
    pd.DataFrame(groups).to_csv(result.folder / "sweep.csv", index=False)

    settings = [
        {key: show(value_of(job, key), None) for key in (*result.keys, "seed")} for job in result.jobs
    ]
    jobs = pd.DataFrame(settings, index=[job.name for job in result.jobs]).join(result.measured)
    jobs.insert(0, "state", [job.state for job in result.jobs])
    jobs["error"] = [job.error for job in result.jobs]
    jobs.to_csv(result.folder / "sweep_jobs.csv", index_label="job")

"""The files of a collected sweep: tables of groups and of jobs, a picture, one self-contained page."""

from __future__ import annotations

import base64
import csv
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from igpo_lightning.reporting.page import document
from igpo_lightning.reporting.sweep import Figure, Group, SweepResult, short, show
from igpo_lightning.reporting.sweep_jobs import MEANINGS, Job, Metric
from igpo_lightning.reporting.sweep_picture import sweep_picture
from igpo_lightning.reporting.table import percent

FILES = ("sweep.csv", "sweep_jobs.csv", "sweep.md", "sweep.png", "sweep.html")
_BEST = "best"


def write_sweep(result: SweepResult) -> str:
    """Write FILES into the sweep's folder; returns the table of groups and the list of missing jobs."""
    folder = result.folder
    _csv(folder / "sweep.csv", *_group_rows(result))
    _csv(folder / "sweep_jobs.csv", *_job_rows(result))
    text = "\n\n".join(filter(None, (table(result), _notes(result), _missing(result))))
    drawn = sweep_picture(result, folder / "sweep.png")
    picture = "\n\n![sweep](sweep.png)" if drawn else ""
    (folder / "sweep.md").write_text(f"# {title(result)}\n\n{text}{picture}\n", encoding="utf-8")
    _page(result, folder / "sweep.html", drawn)
    return text


def title(result: SweepResult) -> str:
    return f"Sweep {result.folder.resolve().name}"


def table(result: SweepResult) -> str:
    """A Markdown table of groups that is also aligned plain text."""
    head, rows = _cells(result)
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)) + " |"
        for row in (head, *rows)
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in wide) + "|")
    return "\n".join(lines)


def _cells(result: SweepResult) -> tuple[list[str], list[list[str]]]:
    head = [*map(short, result.keys), "jobs", *(figure.label for figure in result.figures.values()), ""]
    rows = []
    for group in result.groups:
        cells = [*map(show, group.values.values()), str(len(group.jobs))]
        cells += [_figure(group, name, figure) for name, figure in result.figures.items()]
        rows.append([*cells, _BEST if group is result.best else ""])
    return head, rows


def _figure(group: Group, name: str, metric: Metric) -> str:
    figure = group.figures.get(name)
    if figure is None:
        return ""
    text = amount(figure, metric)
    return text if figure.n == len(group.jobs) else f"{text} (n = {figure.n})"


def amount(figure: Figure, metric: Metric) -> str:
    """``0.414 ± 0.012``, in percent where the metric is a share; without an error if there is one job."""
    if metric.percent:
        error = "" if figure.error is None else f" ± {100 * figure.error:.1f}"
        return percent(figure.mean) + error
    error = "" if figure.error is None else f" ± {_digits(figure.error)}"
    return _digits(figure.mean) + error


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _notes(result: SweepResult) -> str:
    most = max((len(group.jobs) for group in result.groups), default=0)
    meanings = [text for name, text in MEANINGS.items() if name in result.figures]
    spread = ("±: standard error of the mean over jobs",) if most > 1 else ()
    return "\n".join(f"* {note}" for note in (*meanings, *spread, *result.notes))


def _missing(result: SweepResult) -> str:
    if not result.missing:
        return ""
    lines = [f"Not in the table: {len(result.missing)} of {len(result.jobs)} jobs are not finished.", ""]
    return "\n".join(lines + [f"* {_said(job)}" for job in result.missing])


def _said(job: Job) -> str:
    return f"{job.name}: {job.state}" + (f": {job.error}" if job.error else "")


def _group_rows(result: SweepResult) -> tuple[list[str], list[list[Any]]]:
    head = [*result.keys, "jobs"]
    for name in result.figures:
        head += [name, f"{name}_se", f"{name}_n"]
    rows = []
    for group in result.groups:
        row: list[Any] = [*map(show, group.values.values()), len(group.jobs)]
        for name in result.figures:
            figure = group.figures.get(name)
            row += [figure.mean, figure.error, figure.n] if figure else [None, None, 0]
        rows.append(row)
    return head, rows


def _job_rows(result: SweepResult) -> tuple[list[str], list[list[Any]]]:
    from igpo_lightning.reporting.sweep import value_of

    rows = []
    for job in result.jobs:
        values = [show(value_of(job, key)) for key in (*result.keys, "seed")]
        read = [figure.read(job.run) if job.state == "done" else None for figure in result.figures.values()]
        rows.append([job.name, job.state, *values, *read, job.error])
    return ["job", "state", *result.keys, "seed", *result.figures, "error"], rows


def _csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)


def _page(result: SweepResult, path: Path, drawn: Path | None) -> None:
    counted = f"{len(result.jobs) - len(result.missing)} of {len(result.jobs)} jobs finished"
    parts = [
        f"<h1>{html.escape(title(result))}</h1>",
        f'<div class="muted">{counted}; compared by {html.escape(result.figures[result.metric].label)}</div>',
        _tiles(result),
        _chart(drawn),
        "<h2>Groups</h2>",
        _html_table(*_cells(result)),
        *(f'<p class="muted">{html.escape(note)}</p>' for note in _notes(result).splitlines()),
        _missing_html(result),
        "<h2>Jobs</h2>",
        _jobs_html(result),
    ]
    path.write_text(
        document(title(result), "\n".join(filter(None, parts))), encoding="utf-8", errors="replace"
    )


def _tiles(result: SweepResult) -> str:
    if result.best is None:
        return ""
    value = amount(result.best.figures[result.metric], result.figures[result.metric])
    label = html.escape(f"{_BEST}: {result.best.label}")
    return (
        f'<div class="tiles"><div class="tile"><span class="muted">{label}</span><b>{value}</b></div></div>'
    )


def _chart(drawn: Path | None) -> str:
    if drawn is None:
        return ""
    data = base64.b64encode(drawn.read_bytes()).decode()
    return f'<div class="chart"><img alt="the sweep" src="data:image/png;base64,{data}"></div>'


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<td><b>{html.escape(cell)}</b></td>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _missing_html(result: SweepResult) -> str:
    if not result.missing:
        return ""
    rows = [(job.name, job.state, job.error or "") for job in result.missing]
    return "<h2>Not finished</h2>" + _html_table(("job", "state", "error"), rows)


def _jobs_html(result: SweepResult) -> str:
    lines = []
    for job in result.jobs:
        name, page = html.escape(job.name), job.folder / "report.html"
        place = html.escape(page.relative_to(result.folder).as_posix())
        linked = f'<a href="{place}">{name}</a>' if page.exists() else name
        lines.append(f"<tr><td>{linked}</td><td>{job.state}</td></tr>")
    return f"<table>{''.join(lines)}</table>"

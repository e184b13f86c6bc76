"""The files of a run's report, and the pages of ``templates``, which open anywhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from igpo_lightning.pages import write_template
from igpo_lightning.reporting.picture import picture
from igpo_lightning.reporting.run import Run, read_run
from igpo_lightning.reporting.samples import Sample, by_kind
from igpo_lightning.reporting.table import facts, percent, table

MAX_SAMPLES = 6  # of each kind


def write_report(folder: str | Path) -> str:
    """Write ``report.png``, ``report.md`` and ``report.html`` into a run folder; return the table."""
    run = read_run(folder)
    text = table(run)
    drawn = picture(run, run.folder / "report.png")
    markdown = f"# {run.title}\n\n{text}\n\n![report](report.png)\n"
    (run.folder / "report.md").write_text(markdown, encoding="utf-8")
    page(run, run.folder / "report.html", drawn)
    return text


def page(run: Run, path: str | Path, drawn: Path) -> Path:
    """Write the page: key figures, picture, table, samples with hints marked, config, provenance."""
    tiles = [(f"validation, {when}", percent(accuracy.value)) for when, accuracy in run.accuracies()]
    tiles += [("test", percent(run.test.value))] if run.test else []
    made = {
        "Configuration": run.config,
        "Provenance": run.provenance and json.dumps(run.provenance, indent=2),
    }
    return write_page(
        path,
        "run.html",
        drawn,
        title=run.title,
        subtitle=run.folder.resolve().name + ("" if run.finished else ", unfinished"),
        tiles=tiles,
        facts=facts(run),
        kinds={name: _spread(found) for name, found in by_kind(run.samples).items()} if run.samples else {},
        made={name: text for name, text in made.items() if text},
    )


def write_page(path: str | Path, template: str, drawn: Path | None, **values: Any) -> Path:
    """Write a page that loads nothing from elsewhere; all ``values`` are plain text, which it escapes.

    Args:
        drawn: The picture that it holds, if any.
    """
    image = base64.b64encode(drawn.read_bytes()).decode() if drawn else None
    write_template(path, "reporting", template, image=image, **values)
    return Path(path)


def _spread(samples: list[Sample]) -> list[Sample]:
    """At most ``MAX_SAMPLES`` of them, evenly over the run, the first and the last among them."""
    if len(samples) <= MAX_SAMPLES:
        return samples
    return [samples[i * (len(samples) - 1) // (MAX_SAMPLES - 1)] for i in range(MAX_SAMPLES)]

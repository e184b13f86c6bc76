"""The three files of a report."""

from __future__ import annotations

from pathlib import Path

from igpo_lightning.reporting.page import page
from igpo_lightning.reporting.picture import picture
from igpo_lightning.reporting.run import read_run
from igpo_lightning.reporting.table import table


def write_report(folder: str | Path) -> str:
    """Write ``report.png``, ``report.md`` and ``report.html`` into a run folder; return the table."""
    run = read_run(folder)
    text = table(run)
    picture(run, run.folder / "report.png")
    (run.folder / "report.md").write_text(
        f"# {run.title}\n\n{text}\n\n![report](report.png)\n", encoding="utf-8"
    )
    page(run, run.folder / "report.html")
    return text

"""Write a run's report again: ``python -m igpo_lightning.report FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from igpo_lightning.cli.folders import RUN, check_kind, program, values


def _run(folder: Path, texts: list[str]) -> None:
    values(texts, {})
    check_kind(folder, RUN)
    from igpo_lightning.reporting import write_report

    print(f"{write_report(folder)}\n\n{folder}/report.png, report.md, report.html")


main = program(
    "report", _run, "Write report.png, report.md and report.html into a run's folder again; print the table."
)

if __name__ == "__main__":
    sys.exit(main())

"""Make dashboards at W&B: ``python -m igpo_lightning.dashboard [FOLDER] [project=NAME] [group=NAME]``."""

from __future__ import annotations

import sys
from pathlib import Path

from igpo_lightning.cli.folders import program, values

_ABOUT = """\
Make dashboards at W&B: a workspace with the panels in the order in which a run is read, and for a
sweep a report that compares its arms, with means and standard errors. Runs that were offline are
uploaded by wandb sync first.
"""
_SETTINGS = {
    "project=[ENTITY/]NAME": "the project at W&B; without it that of the runs in FOLDER",
    "group=NAME[,NAME]": "only runs of these groups; without it those of FOLDER, or all",
    "by=KEY[,KEY]": "arms: runs alike in these keys; without it what the runs in FOLDER differ in",
    "make=workspace,report": "one or both; without it both for groups, a workspace for a project",
    "name=TEXT": "of what is made",
    "dry_run=true": "print the panels and the runs that they would show; send nothing",
    "json=FILE": "write the same as data; send nothing",
}


def _run(folder: Path | None, texts: list[str]) -> None:
    given = values(texts, _SETTINGS)
    from igpo_lightning.reporting.board_choice import make

    make(folder, given)


main = program(
    "dashboard", _run, _ABOUT, _SETTINGS, of="that of a run or of a sweep that logged to W&B", optional=True
)

if __name__ == "__main__":
    sys.exit(main())

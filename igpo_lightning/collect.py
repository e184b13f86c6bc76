"""Collect a sweep: ``python -m igpo_lightning.collect FOLDER [by=KEY,KEY] [metric=NAME] [with=FOLDER]``."""

from __future__ import annotations

import sys
from pathlib import Path

from igpo_lightning.cli.folders import listed, program, values

_ABOUT = """\
Collect the runs in FOLDER into tables, a picture and a page: jobs that differ in nothing but the seed are
one group, with the mean and the standard error of what they measured. Unfinished jobs are listed.
"""
_SETTINGS = {
    "by=KEY[,KEY]": "group by these keys instead of everything that differs, e.g. by=algo.inpaint.ratio",
    "metric=NAME": """\
compare by accuracy on validation problems (default), accuracy_before, test (marks no best),
reward, all_wrong, seconds, completions, or anything the runs logged, e.g. metric=train/kl
(its mean over the last fifth of a run)""",
    "with=FOLDER[,FOLDER]": "compare with the runs and sweeps in these folders, too",
}


def _run(folder: Path, texts: list[str]) -> None:
    given = values(texts, _SETTINGS)
    from igpo_lightning.reporting.sweep import read_sweep
    from igpo_lightning.reporting.sweep_write import FILES, write_sweep

    by, others = listed(given.get("by")) or None, listed(given.get("with"))
    print(write_sweep(read_sweep(folder, by, given.get("metric"), others)))
    print(f"\nin {folder}: {', '.join(name for name in FILES if (folder / name).exists())}")


main = program("collect", _run, _ABOUT, _SETTINGS, of="that of a sweep, or any with run folders in it")

if __name__ == "__main__":
    sys.exit(main())

"""Collect a sweep: ``python -m igpo_lightning.collect FOLDER [by=KEY,KEY] [metric=NAME]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.arguments import version
from igpo_lightning.cli.terminal import OneLineParser, given_folder, guarded

_DESCRIPTION = """\
Collect the runs in FOLDER into tables, a picture and a page: jobs that differ in nothing but the seed are
one group, with the mean and the standard error of what they measured. Unfinished jobs are listed.
"""
_SETTINGS = """\
settings:
  by=KEY[,KEY]   group by these keys instead of everything that differs, e.g. by=algo.inpaint.ratio
  metric=NAME    compare by accuracy on validation problems (default), accuracy_before, test (marks no best),
                 reward, all_wrong, seconds, completions, or anything the runs logged, e.g. metric=train/kl
                 (its mean over the last fifth of a run)
"""


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Write sweep.csv, sweep_jobs.csv, sweep.md, sweep.png and sweep.html into the folder, print the table.

    Returns:
        The exit status.
    """
    parser = OneLineParser(
        prog="python -m igpo_lightning.collect", description=_DESCRIPTION, epilog=_SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument("folder", metavar="FOLDER", help="of a sweep, or any folder with run folders in it")
    parser.add_argument("settings", nargs="*", metavar="key=value", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    from igpo_lightning.reporting.sweep import read_sweep
    from igpo_lightning.reporting.sweep_write import FILES, write_sweep

    try:
        by, metric = _settings(arguments.settings)
        result = read_sweep(given_folder(arguments.folder), by, metric)
        print(write_sweep(result))
    except OSError as error:
        raise ConfigError(str(error)) from error
    print(f"\nin {result.folder}: {', '.join(name for name in FILES if (result.folder / name).exists())}")
    return 0


def _settings(texts: Sequence[str]) -> tuple[list[str] | None, str | None]:
    given: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in ("by", "metric") or not value:
            raise ConfigError(f"{text}: expected by=KEY[,KEY] or metric=NAME")
        given[name] = value
    by = [key.strip() for key in given["by"].split(",")] if "by" in given else None
    return by, given.get("metric")


if __name__ == "__main__":
    sys.exit(main())

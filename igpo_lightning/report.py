"""Write a run's report again: ``python -m igpo_lightning.report RUN_FOLDER``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.arguments import version
from igpo_lightning.cli.terminal import OneLineParser, given_folder, guarded


@guarded
def main(argv: Sequence[str] | None = None) -> int:
    """Write report.png, report.md and report.html, and print the table. Returns the exit status."""
    parser = OneLineParser(prog="python -m igpo_lightning.report", description=main.__doc__)
    parser.add_argument("--version", action="version", version=version())
    parser.add_argument(
        "folder", help="a run folder: the one with metrics/metrics.csv in it or in its stages"
    )
    folder = given_folder(parser.parse_args(argv).folder)
    from igpo_lightning.reporting import write_report

    try:
        print(write_report(folder))
    except OSError as error:
        raise ConfigError(str(error)) from error
    print(f"\n{folder}/report.png, report.md, report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

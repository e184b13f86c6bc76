"""Write a run's report again: ``python -m igpo_lightning.report RUN_FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from igpo_lightning.checks import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Write report.png, report.md and report.html, and print the table. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m igpo_lightning.report", description=main.__doc__)
    parser.add_argument(
        "folder", help="a run folder: the one with metrics/metrics.csv in it or in its stages"
    )
    folder = parser.parse_args(argv).folder
    from igpo_lightning.reporting import write_report

    try:
        print(write_report(folder))
    except (ConfigError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"\n{folder}/report.png, report.md, report.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The dry run of a sweep: that of each of its jobs, one after the other, as a run of its own."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from igpo_lightning.checks import ConfigError
from igpo_lightning.sweeping.sweep import check_sweep

_REFUSED = (1, 2)  # exit codes of a job that let the others be forecast all the same


@dataclass(frozen=True)
class DryRun:
    """A sweep of which nothing is run: no launcher is asked, and no job has a folder that stays.

    Attributes:
        flags: Of the command line, without the one for a sweep.
        choices: For each override what it stands for, as overrides of one job.
        overrides: To be added to those of each job.
    """

    flags: Sequence[str]
    choices: Sequence[Sequence[str]]
    overrides: Sequence[str]

    @staticmethod
    def check(cfg: DictConfig, swept: Mapping[str, int | None]) -> None:
        """Refuse what the sweep would refuse, and one whose jobs can't be told beforehand.

        Raises:
            ConfigError: Naming the key and what would be right.
        """
        check_sweep(cfg, swept)
        if (sweeper := cfg.hydra.runtime.choices["hydra/sweeper"]) != "basic":
            raise ConfigError(
                f"dry_run=true: {sweeper} chooses its jobs as it goes; leave out what chooses {sweeper}, "
                "and give values"
            )

    def run(self, launch: Callable[[], None]) -> int:
        """Launch each job; 0 if all could be run, 2 if only bad input was refused, otherwise 1."""
        codes = set()
        for job in itertools.product(*self.choices):
            own = [text for text, several in zip(job, self.choices, strict=True) if len(several) > 1]
            print(f"\n[sweep] {' '.join(own)}", flush=True)
            sys.argv[1:] = [*self.flags, *job, *self.overrides, "hydra.mode=RUN"]
            try:
                launch()
            except SystemExit as stop:
                if stop.code not in _REFUSED:
                    raise
                codes.add(int(stop.code or 0))
        return min(codes, default=0)

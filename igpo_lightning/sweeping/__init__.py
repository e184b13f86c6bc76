"""Sweeps: what ``-m`` and ``sweep=`` add to Hydra's.

A job has a folder with a stable name and a record in it (:mod:`record`). Repeating a sweep in the same
folder leaves finished jobs alone and resumes the others (:mod:`job`). One that fails stops no other and is
named at the end (:mod:`sweep`). A dry run says what each would need (:mod:`dry_run`). Nothing here imports
torch.
"""

from igpo_lightning.sweeping.dry_run import DryRun
from igpo_lightning.sweeping.job import cause, run_job
from igpo_lightning.sweeping.plugins import how_to_install
from igpo_lightning.sweeping.resolvers import register
from igpo_lightning.sweeping.sweep import Sweep

__all__ = ["DryRun", "Sweep", "cause", "how_to_install", "register", "run_job"]

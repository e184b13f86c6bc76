"""Run folder → a short table, a picture and one self-contained page. Imports neither torch nor Lightning."""

from igpo_lightning.reporting.page import page
from igpo_lightning.reporting.picture import picture
from igpo_lightning.reporting.run import Metrics, Run, StageRun, read_run
from igpo_lightning.reporting.summary import Accuracy, Stage, Summary
from igpo_lightning.reporting.table import facts, table
from igpo_lightning.reporting.write import write_report

__all__ = [
    "Accuracy",
    "Metrics",
    "Run",
    "Stage",
    "StageRun",
    "Summary",
    "facts",
    "page",
    "picture",
    "read_run",
    "table",
    "write_report",
]

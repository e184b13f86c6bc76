"""Run folder → a short table, a picture and one self-contained page. Imports neither torch nor Lightning."""

from igpo_lightning.reporting.page import write_report
from igpo_lightning.reporting.run import read_run

__all__ = ["read_run", "write_report"]

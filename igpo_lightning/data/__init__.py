"""Rows to token ids, the schedule of steps, and the two DataModules."""

from .rollout_data import RolloutDataModule
from .sft_data import SFTDataModule

__all__ = ["RolloutDataModule", "SFTDataModule"]

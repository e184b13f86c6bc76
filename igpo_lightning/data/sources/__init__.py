"""Data sources: training and held-out problems as text."""

from igpo_lightning.data.sources.base import Source, TableSource
from igpo_lightning.data.sources.gsm8k import Gsm8k
from igpo_lightning.data.sources.gsm_symbolic import GsmSymbolic
from igpo_lightning.data.sources.jsonl import Jsonl
from igpo_lightning.data.sources.math import MathFolder
from igpo_lightning.data.sources.word_problems import WordProblems

__all__ = ["Gsm8k", "GsmSymbolic", "Jsonl", "MathFolder", "Source", "TableSource", "WordProblems"]

"""Data sources: training and held-out problems as text."""

from igpo_lightning.data.sources.base import Source, TableSource
from igpo_lightning.data.sources.countdown import Countdown
from igpo_lightning.data.sources.gsm8k import Gsm8k
from igpo_lightning.data.sources.gsm_symbolic import GsmSymbolic
from igpo_lightning.data.sources.mapped import Table
from igpo_lightning.data.sources.math import Math
from igpo_lightning.data.sources.metamath import MetaMath
from igpo_lightning.data.sources.openr1 import OpenR1
from igpo_lightning.data.sources.sudoku import Sudoku
from igpo_lightning.data.sources.word_problems import WordProblems

__all__ = [
    "Countdown",
    "Gsm8k",
    "GsmSymbolic",
    "Math",
    "MetaMath",
    "OpenR1",
    "Source",
    "Sudoku",
    "Table",
    "TableSource",
    "WordProblems",
]

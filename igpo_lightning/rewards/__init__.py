"""Text to scores: find the final answer, compare it with the gold one, add the terms up."""

from igpo_lightning.rewards.answers import Statement, extract, statements
from igpo_lightning.rewards.llm_judge import LLMJudge
from igpo_lightning.rewards.puzzles import Countdown, SudokuCells, SudokuSolved
from igpo_lightning.rewards.rewards import AnswerFormat, Correctness, RewardSum, Stated, TagFormat
from igpo_lightning.rewards.sandbox import Sandbox
from igpo_lightning.rewards.unit_tests import UnitTests
from igpo_lightning.rewards.verify import Verifier

__all__ = [
    "AnswerFormat",
    "Correctness",
    "Countdown",
    "LLMJudge",
    "RewardSum",
    "Sandbox",
    "Stated",
    "Statement",
    "SudokuCells",
    "SudokuSolved",
    "TagFormat",
    "UnitTests",
    "Verifier",
    "extract",
    "statements",
]

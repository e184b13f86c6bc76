"""Text to scores: find the final answer, compare it with the gold one, add the terms up."""

from igpo_lightning.rewards.answers import Statement, extract, statements
from igpo_lightning.rewards.rewards import AnswerFormat, Correctness, RewardSum, TagFormat
from igpo_lightning.rewards.verify import Verifier

__all__ = [
    "AnswerFormat",
    "Correctness",
    "RewardSum",
    "Statement",
    "TagFormat",
    "Verifier",
    "extract",
    "statements",
]

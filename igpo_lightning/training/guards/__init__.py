"""Callbacks that notice a run going wrong: numbers, samplers, rewards, policies, hangs."""

from .base import Guard, GuardStop
from .finite import FiniteGuard
from .metrics import ExplodingMetric, LogProbDrift
from .rollouts import ConstantReward, IdenticalCompletions, UnwrittenHints
from .watchdog import Watchdog

__all__ = [
    "ConstantReward",
    "ExplodingMetric",
    "FiniteGuard",
    "Guard",
    "GuardStop",
    "IdenticalCompletions",
    "LogProbDrift",
    "UnwrittenHints",
    "Watchdog",
]

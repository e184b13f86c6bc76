"""Verifier of final answers.

Plain numerals are compared exactly and at once. Everything else is read: the whole answer as lists, sets,
intervals, equations, formulas and units, by readers that refuse what they do not know. math-verify, which
leaves out what it does not know, is asked only about the operators that are beyond those readers (sums,
products, integrals and limits), and only if every command in both answers is one that it knows.
"""

from __future__ import annotations

import re
from functools import lru_cache

from igpo_lightning.rewards.answers import MAX_ANSWER_CHARS
from igpo_lightning.rewards.checker import Checker
from igpo_lightning.rewards.comparing import agree
from igpo_lightning.rewards.nodes import Node
from igpo_lightning.rewards.notation import plain
from igpo_lightning.rewards.numbers import numeral, rounds_to
from igpo_lightning.rewards.readings import readings

MAX_READ_CHARS = 2000
"""Longer answers are compared as texts."""

_SYMBOLIC = re.compile(r"\\(?:sum|prod|int|lim)(?![A-Za-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+|\\.")
_NAMES = """
sum prod int lim to infty frac sqrt pi cdot times sin cos tan cot sec csc ln log exp binom alpha beta gamma
theta le ge
"""
_KNOWN = frozenset(f"\\{name}" for name in _NAMES.split())
_FOREIGN = re.compile(r"[^A-Za-z0-9\\{}()\[\]+\-*/^_=.,!|\s]")
_OF_TIME = re.compile(r"(?<=[A-Za-z}])\s?\(t\)")
_READINGS = 4096


@lru_cache(maxsize=_READINGS)
def _plain(answer: str) -> str:
    return plain(answer)


@lru_cache(maxsize=_READINGS)
def _readings(text: str) -> tuple[Node, ...]:
    return readings(text)


class Verifier:
    """Compares final answers; safe to call from any thread.

    The whole answer counts, and what is not understood is equal only to what is written in the same way.
    Numbers are equal by value, relative to their size. A decimal must be exact (0.333 is not 1/3), unless it
    has six significant digits or more and the other value, which has no end, rounds to it (0.333333 is). A
    unit may be missing, but not be another one; values count, not their form (6 \\cdot 12 is 72).

    Args:
        timeout: Seconds of processor time that one pair may take in math-verify, so that a busy machine
            judges as an idle one does. Ten times as much wall-clock time ends it in any case.
        memory_gb: GiB of address space that math-verify may take on top of its libraries.
        cache_size: Number of remembered verdicts.
        workers: Processes of math-verify at most, started when needed: as many pairs are compared at once.
            0 is 1.
    """

    def __init__(
        self, timeout: float = 2.0, memory_gb: float = 2.0, cache_size: int = 65536, workers: int = 1
    ) -> None:
        if timeout <= 0 or memory_gb <= 0:
            from igpo_lightning.checks import ConfigError

            raise ConfigError(f"Verifier: timeout ({timeout}) and memory_gb ({memory_gb}) must be above 0")
        self.timeout, self.memory_gb, self.cache_size, self.workers = timeout, memory_gb, cache_size, workers
        self._checker = Checker(timeout, memory_gb, max(1, workers))
        self._verdict = lru_cache(maxsize=cache_size)(self._judge)

    def __reduce__(self):
        return type(self), (self.timeout, self.memory_gb, self.cache_size, self.workers)

    @property
    def timeouts(self) -> int:
        """Pairs that math-verify gave up so far."""
        return self._checker.timeouts

    def equal(self, candidate: str, gold: str) -> bool:
        """True if ``candidate`` is a way of writing ``gold``. Never raises on odd text."""
        if len(candidate) >= MAX_ANSWER_CHARS:  # it may have been cut
            return False
        given, wanted = _plain(candidate), _plain(gold)
        if not given or not wanted:
            return False
        if _squeezed(given) == _squeezed(wanted):
            return True
        if max(len(given), len(wanted)) > MAX_READ_CHARS:
            return False
        value, target = numeral(given), numeral(wanted)
        if value is not None and target is not None:
            return value == target or rounds_to(given, target) or rounds_to(wanted, value)
        return self._verdict(given, wanted)

    def close(self) -> None:
        """Stop math-verify; the next call that needs it starts it again."""
        self._checker.close()

    def _judge(self, given: str, wanted: str) -> bool:
        try:
            if agree(_readings(given), _readings(wanted)):
                return True
            if ("(t)" in given) != ("(t)" in wanted):  # x for x(t)
                given, wanted = _OF_TIME.sub("", given), _OF_TIME.sub("", wanted)
                return agree(_readings(given), _readings(wanted))
        except RecursionError:
            return False
        return _for_math_verify(given, wanted) and self._checker.equal(given, wanted)


def _for_math_verify(given: str, wanted: str) -> bool:
    """True if one of the two needs it, and it knows all that is in both."""
    if not (_SYMBOLIC.search(given) or _SYMBOLIC.search(wanted)):
        return False
    both = given + wanted
    return not _FOREIGN.search(both) and all(command in _KNOWN for command in _COMMAND.findall(both))


def _squeezed(text: str) -> str:
    """``text`` without spaces beside signs, for answers that are the same to the letter."""
    return re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text)

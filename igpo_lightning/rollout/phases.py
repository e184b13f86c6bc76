"""Seconds by phase of a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Phases:
    """A stopwatch with a hand for each phase: "sample", "score", "logprobs".

    A device works on after its calls have returned. Nothing is waited for here: each phase ends in numbers
    that the host reads anyway, and with them all of its work is done.

    Args:
        clock: Gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.clock = clock
        self.seconds: dict[str, float] = dict.fromkeys(("sample", "score", "logprobs"), 0.0)

    @contextmanager
    def of(self, phase: str) -> Iterator[None]:
        """Within this context time is spent on ``phase``."""
        began = self.clock()
        try:
            yield
        finally:
            self.seconds[phase] += self.clock() - began

"""Rewards of completions, counted while further completions are being sampled."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

from ..contracts import refuse
from ..types import Problem, Scores


class Scoring:
    """Hands completions to a reward as soon as they are there, and gathers the scores in their order.

    Threads, and not processes: a reward needs not be pickled, and what takes time in one (math-verify, the
    tests of a program, a model) runs in processes of its own or on a device. Of ``workers`` 0 all is done
    in :meth:`result`, in the thread that calls it.

    Args:
        reward: (problems, texts) → Scores; its ``workers`` says how many threads it may run in, 0 if it
            says nothing.
        problems: Of all B completions.
        device: Current device of a reward that has a model.

    Attributes:
        seconds: Spent in the reward, whether someone waited for it or not; after :meth:`result`.
        timeouts: Answers that a verifier gave up; then, too.
    """

    def __init__(self, reward: Any, problems: Sequence[Problem], device: torch.device):
        self.reward, self.problems, self.device = reward, problems, device
        self.seconds, self.timeouts = 0.0, 0
        self._before = getattr(reward, "timeouts", 0)
        self._texts = [""] * len(problems)
        self._added: list[int] = []
        self._pending: list[Future[tuple[Scores, float]]] = []
        workers = getattr(reward, "workers", 0)
        self._pool = ThreadPoolExecutor(workers, "score") if workers and problems else None

    def __enter__(self) -> Scoring:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error[0] is None, cancel_futures=True)

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Score these rows; does not wait for it."""
        self._added += rows
        for i, text in zip(rows, texts, strict=True):
            self._texts[i] = text
        if self._pool is not None:
            problems = [self.problems[i] for i in rows]
            self._pending.append(self._pool.submit(self._score, problems, list(texts)))

    def result(self) -> Scores:
        """Scores of all rows, from the first to the last; raises what the reward raised."""
        if self._pool is None:
            done, order = [self._score(self.problems, self._texts)], list(range(len(self.problems)))
        else:
            done, order = [pending.result() for pending in self._pending], self._added
        self.seconds = sum(seconds for _, seconds in done)
        self.timeouts = getattr(self.reward, "timeouts", 0) - self._before
        scores = Scores.joined([scores for scores, _ in done])
        return scores.select(torch.tensor(order, dtype=torch.long, device=scores.total.device).argsort())

    @torch.no_grad()
    def _score(self, problems: Sequence[Problem], texts: Sequence[str]) -> tuple[Scores, float]:
        began = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # of this thread, which would else have the first one
        scores = self.reward(problems, texts)
        if not isinstance(scores, Scores):
            refuse("reward", self.reward, scores, "Scores")
        return scores, time.perf_counter() - began

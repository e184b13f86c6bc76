"""Sampling within one rollout: any of its prompts, from any canvas, as often as asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import progress
from ..algos import Algorithm
from ..distributed import agree_any
from ..models import Policy
from ..sampling.canvas import collate
from ..sampling.generate import Generated, generate
from ..seeding import derive
from ..types import Prompt, Rollout
from .history import History
from .phases import Phases
from .scoring import Scoring


class Resampler:
    """Fills and scores canvases of a rollout's prompts.

    Args:
        policy: Samples, with its present weights.
        prompts: The P prompts.
        index: Of the rollout; part of every seed.
        algorithm: Its sampler, reward and sizes.
        micro_batch: Prompts that are trained on together.
        phases: Is told of the time that is spent.
        sampler: Another one than the algorithm's.
        spares: Round → another prompt of the training set for each of the P places, or none at all.
        history: Of the run's problems.

    Attributes:
        prompts: The P prompts, and after them the spares so far.
        group_size: G.
        width: C, columns of a completion.
        mask_id: Id of an empty column.
        cost: So far: completions, canvas tokens, rows over model calls, tokens of prompts and completions up
            to their ends, and answers that a verifier gave up.
        drawn: Tokens so far that the policy wrote into completions, up to their ends: no hints, and no fill.
        verifying: Seconds in the reward so far, whether someone waited for it or not.
    """

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        index: int,
        algorithm: Algorithm,
        micro_batch: int = 1,
        phases: Phases | None = None,
        sampler: Any | None = None,
        spares: Callable[[int], Sequence[Prompt]] | None = None,
        history: History | None = None,
    ):
        self.policy, self.prompts, self.index = policy, list(prompts), index
        self._given, self._spares, self._history = len(prompts), spares, history
        self.algorithm, self.micro_batch = algorithm, micro_batch
        self.group_size, self.width = algorithm.num_generations, algorithm.sampler.length
        self.mask_id, self.device = policy.mask_id, next(policy.parameters()).device
        self.phases = phases or Phases()
        self.sampler = sampler or algorithm.sampler
        self.cost: dict[str, int] = dict.fromkeys(
            ("completions", "generated_tokens", "row_forwards", "num_tokens", "verifier_timeouts"), 0
        )
        self.drawn, self.verifying = 0, 0.0
        self._encode()

    def _encode(self) -> None:
        self._tensors = collate(self.prompts, self.policy.pad_id, self.device)
        plan = [derive(self.algorithm.seed, "plan", self.index, p.problem.id) for p in self.prompts]
        self._seeds = torch.tensor(plan, dtype=torch.long, device="cpu")

    def add_spares(self, attempt: int) -> bool:
        """Take up the other prompts of round ``attempt``; False if there are none, on any process."""
        more = self._spares(attempt) if self._spares is not None else ()
        self.prompts += more
        if more:
            self._encode()
        return bool(more)

    def spare(self, attempt: int, place: int) -> int:
        """Index of the prompt that place ``place`` may get in round ``attempt``."""
        return self._given * (attempt + 1) + place

    def solved(self, p: int) -> float | None:
        """Share of the last completions of prompt ``p`` that were correct; None: it was not seen yet."""
        return None if self._history is None else self._history.solved(self.prompts[p].problem.id)

    def judge(self, rollout: Rollout, texts: Sequence[str]) -> Tensor:
        """[P * G] rewards of other completions of a rollout's prompts."""
        assert rollout.candidate is not None
        problems = [
            self.prompts[p].problem for p in rollout.candidate.tolist() for _ in range(self.group_size)
        ]
        with Scoring(self.algorithm.training_reward, problems, self.device) as scoring:
            scoring.add(list(range(len(texts))), list(texts))
            total = scoring.result().total.to(self.device)
        self.verifying += scoring.seconds
        return total

    def seed(self, purpose: str, p: int, g: int) -> int:
        """The identity seed of completion ``g`` of prompt ``p``, for one purpose."""
        return derive(self.algorithm.seed, purpose, self.index, self.prompts[p].problem.id, g)

    def anyone(self, flag: bool) -> bool:
        """True if ``flag`` holds on any process; all of them must ask."""
        return agree_any(flag, self.device)

    def blank(self, count: int, completions: int | None = None) -> tuple[Tensor, Tensor]:
        """An empty canvas [count, G or ``completions``, C] and its empty hint mask."""
        shape = (count, completions or self.group_size, self.width)
        canvas = torch.full(shape, self.mask_id, dtype=torch.long, device="cpu")
        return canvas, torch.zeros_like(canvas, dtype=torch.bool)

    def sample(
        self,
        which: Sequence[int],
        canvas: Tensor,
        hint_mask: Tensor,
        purpose: str,
        sampler: Any | None = None,
    ) -> Rollout:
        """Fill ``canvas`` for the prompts ``which``, and score the completions.

        With no prompts it makes the model calls that other processes are making, and returns none.

        Args:
            which: P' prompt indices.
            canvas: [P', N, C] masks and hints, for any number N of completions.
            hint_mask: [P', N, C] bool, where the hints are.
            purpose: Part of the seeds, so that a second try differs from the first.
            sampler: Another one than the algorithm's.
        """
        shape = canvas.shape[:2]
        rows = [(p, g) for p in which for g in range(shape[1])]
        index = torch.tensor([p for p, _ in rows], dtype=torch.long, device="cpu")
        seeds = [self.seed(purpose, p, g) for p, g in rows]
        problems = [self.prompts[p].problem for p, _ in rows]
        with Scoring(self.algorithm.training_reward, problems, self.device) as scoring:
            with progress.work(purpose, len(rows), self.width, self.index), self.phases.of("sample"):
                done = generate(
                    self.policy, sampler or self.sampler, self._tensors, index, canvas.view(-1, self.width),
                    seeds, self.algorithm.row_budget, scoring.add,
                )  # fmt: skip
            with progress.work("score", len(rows), rollout=self.index), self.phases.of("score"):
                progress.began(len(rows))
                scores = scoring.result()
        self._count(which, done, hint_mask, scoring)

        def grouped(values: Tensor) -> Tensor:
            return values.to(self.device).view(*shape, *values.shape[1:])

        chosen = torch.tensor(list(which), dtype=torch.long, device="cpu")
        return Rollout(
            prompt_ids=self._tensors.ids[chosen.to(self.device)],
            prompt_mask=self._tensors.mask[chosen.to(self.device)],
            seeds=self._seeds[chosen],
            tokens=grouped(done.tokens),
            hint_mask=hint_mask.to(self.device),
            completion_mask=grouped(done.completion_mask),
            step_map=grouped(done.step_map),
            step_probability=None if done.probability is None else grouped(done.probability),
            step_entropy=None if done.entropy is None else grouped(done.entropy),
            candidate=chosen,
            rewards=grouped(scores.total),
            correct=grouped(scores.correct),
            parts={name: grouped(part) for name, part in scores.parts.items()},
            answers=None if scores.answers is None else grouped(scores.answers),
            index=self.index,
        )

    def _count(self, which: Sequence[int], done: Generated, hint_mask: Tensor, scoring: Scoring) -> None:
        rows, completed = len(done.texts), done.completion_mask
        hints = hint_mask.to(completed.device).view_as(completed)
        written, drawn = torch.stack([completed.sum(), (completed & ~hints).sum()]).tolist()
        asked = sum(len(self.prompts[p].ids) for p in which) * (rows // max(1, len(which)))
        spent = (rows, rows * self.width, done.row_forwards, asked + written, scoring.timeouts)
        self.cost = {name: self.cost[name] + n for name, n in zip(self.cost, spent, strict=True)}
        self.drawn += drawn
        self.verifying += scoring.seconds

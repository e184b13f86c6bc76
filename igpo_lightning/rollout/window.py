"""Sampling within one window: any of its prompts, from any canvas, as often as asked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import progress
from ..distributed import agree_any
from ..models import Policy
from ..sampling.canvas import attention_of, collate, completion_texts
from ..sampling.fill import fill
from ..seeding import derive
from ..types import Prompt
from .groups import Cost, Groups


class WindowSampler:
    """Fills and scores canvases of a window's prompts.

    Args:
        policy: Samples, with its present weights.
        prompts: The window's P prompts.
        window: Its index; part of every seed.
        sampler, reward, group_size, rows_per_forward, seed: As the engine has them.
        micro_batch: Prompts that are trained on together.

    Attributes:
        group_size: G.
        width: C, columns of a completion.
        mask_id: What an empty column holds.
        tensors: The P prompts, left-padded to one width.
    """

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        window: int,
        *,
        sampler,
        reward,
        group_size: int,
        rows_per_forward: int,
        seed: int,
        micro_batch: int = 1,
    ):
        self.policy, self.prompts, self.window = policy, prompts, window
        self.sampler, self.reward, self.group_size = sampler, reward, group_size
        self.rows_per_forward, self.run_seed, self.micro_batch = rows_per_forward, seed, micro_batch
        self.width, self.mask_id = sampler.length, policy.mask_id
        self.device = next(policy.parameters()).device
        self.tensors = collate(prompts, policy.pad_id, self.device)

    def seed(self, purpose: str, p: int, g: int) -> int:
        """The identity seed of completion ``g`` of prompt ``p``, for one purpose."""
        return derive(self.run_seed, purpose, self.window, self.prompts[p].problem.id, g)

    def anyone(self, flag: bool) -> bool:
        """Whether ``flag`` holds on any process; all of them must ask."""
        return agree_any(flag, self.device)

    def blank(self, count: int) -> tuple[Tensor, Tensor]:
        """An empty canvas [count, G, C] and its empty hint mask."""
        shape = (count, self.group_size, self.width)
        canvas = torch.full(shape, self.mask_id, dtype=torch.long, device="cpu")
        return canvas, torch.zeros_like(canvas, dtype=torch.bool)

    def sample(self, which: Sequence[int], canvas: Tensor, hint_mask: Tensor, purpose: str) -> Groups:
        """Fill ``canvas`` for the prompts ``which``, and score the completions.

        With no prompts it makes the model calls that other processes are making, and returns none.

        Args:
            which: P' prompt indices.
            canvas: [P', G, C] masks and hints.
            hint_mask: [P', G, C] bool, where the hints are.
            purpose: Part of the seeds, so that a second try differs from the first.
        """
        rows = [(p, g) for p in which for g in range(self.group_size)]
        index = torch.tensor([p for p, _ in rows], dtype=torch.long, device=self.device)
        full = torch.cat([self.tensors.ids[index], canvas.to(self.device).view(-1, self.width)], dim=1)
        attention = attention_of(self.tensors.mask, self.width)
        with progress.work(purpose, len(rows), self.width, self.window):
            samples = fill(
                self.policy,
                self.sampler,
                full,
                None if attention is None else attention[index],
                [self.seed(purpose, p, g) for p, g in rows],
                self.rows_per_forward,
            )
        completions = samples.tokens[:, -self.width :]
        texts = completion_texts(self.policy, completions)
        with progress.work("score", len(rows), window=self.window):
            progress.began(len(rows))
            scores = self.reward(texts, [self.prompts[p].problem.answer for p, _ in rows])
        shape = (len(which), self.group_size)
        return Groups(
            completions=completions.view(*shape, self.width),
            hint_mask=hint_mask.to(self.device),
            rewards=scores.total.to(self.device).view(shape),
            correct=scores.correct.to(self.device).view(shape),
            parts={name: part.to(self.device).view(shape) for name, part in scores.parts.items()},
            cost=Cost(
                completions=len(rows),
                tokens=len(rows) * self.width,
                forwards=samples.forwards,
                row_forwards=samples.row_forwards,
            ),
        )

"""Estimators that plan one completion at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...seeding import torch_rng
from ...types import Rollout
from .base import Draw
from .prompt_masks import masked_prompts


class Completion(NamedTuple):
    """All that a plan may depend on."""

    length: int  # tokens up to and including the end
    width: int  # C
    seed: int  # of the prompt
    iteration: int
    g: int  # which of the group's completions it is
    group: int  # G

    def rng(self, purpose: str, *more: int) -> torch.Generator:
        """The completion's own generator for one purpose."""
        return torch_rng(self.seed, purpose, self.iteration, self.g, *more)


class Plan(NamedTuple):
    """The D draws of one completion, on the CPU."""

    masked: Tensor  # [D, C] bool
    scored: Tensor  # [D, C] bool
    weight: Sequence[float] | None  # of each draw's scored tokens; None: all 1


class Planned(ABC):
    """Show each completion the canvases of its own plan; every iteration has new ones.

    Attributes:
        mask_prompt: Share of each prompt's tokens that is hidden at random, in each draw anew.
    """

    renewed = True
    mask_prompt: float = 0.0

    @abstractmethod
    def count(self, width: int) -> int:
        """Draws of an iteration, for completions of ``width`` tokens."""

    @abstractmethod
    def plan(self, completion: Completion) -> Plan:
        """The ``count`` draws of one completion."""

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        prompts, group, width = rollout.tokens.shape
        device, seeds = rollout.tokens.device, rollout.seeds.tolist()
        lengths = rollout.completion_mask.sum(-1).tolist()
        plans = [
            self.plan(Completion(lengths[p][g], width, seed, iteration, g, group))
            for p, seed in enumerate(seeds)
            for g in range(group)
        ]
        masked, scored = (
            torch.stack(parts).to(device).view(prompts, group, -1, width)
            for parts in ([plan.masked for plan in plans], [plan.scored for plan in plans])
        )
        weight = None
        if plans[0].weight is not None:
            rows = [plan.weight for plan in plans]
            weight = torch.tensor(rows, dtype=torch.float32, device=device).view(prompts, group, -1, 1)
            weight = weight.expand(masked.shape)
        return [
            Draw(
                masked[:, :, d],
                scored[:, :, d],
                None if weight is None else weight[:, :, d],
                self._prompts(rollout, iteration, d),
            )
            for d in range(masked.shape[2])
        ]

    def _prompts(self, rollout: Rollout, iteration: int, d: int) -> Tensor | None:
        if self.mask_prompt == 0:
            return None
        return masked_prompts(rollout, self.mask_prompt, iteration, d, rollout.tokens.shape[1])

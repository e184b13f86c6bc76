"""Scored groups of completions, between sampling and advantages."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Groups:
    """P groups of G scored completions.

    ``cost`` counts what producing them took; interventions add theirs.
    """

    completions: Tensor  # [P, G, C] int64
    hint_mask: Tensor  # [P, G, C] bool
    rewards: Tensor  # [P, G] float32
    correct: Tensor  # [P, G] bool
    parts: dict[str, Tensor]  # name -> [P, G]
    cost: Cost

    @property
    def all_wrong(self) -> Tensor:
        """[P] bool: no completion of this group is correct, whatever its other rewards are."""
        return ~self.correct.any(dim=1)

    def copy(self) -> Groups:
        parts = {name: part.clone() for name, part in self.parts.items()}
        return Groups(
            self.completions.clone(),
            self.hint_mask.clone(),
            self.rewards.clone(),
            self.correct.clone(),
            parts,
            self.cost,
        )

    def overwrite(self, p: int, g: int, other: Groups, other_p: int, other_g: int) -> None:
        """Put one completion of ``other`` in place of completion ``g`` of prompt ``p``."""
        for mine, theirs in zip(self._per_completion(), other._per_completion(), strict=True):
            mine[p, g] = theirs[other_p, other_g]

    def _per_completion(self) -> list[Tensor]:
        return [
            self.completions,
            self.hint_mask,
            self.rewards,
            self.correct,
            *(self.parts[k] for k in sorted(self.parts)),
        ]


@dataclass
class Cost:
    """What sampling cost: completions, canvas tokens that were denoised, model calls, rows over calls."""

    completions: int = 0
    tokens: int = 0
    forwards: int = 0
    row_forwards: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.completions + other.completions,
            self.tokens + other.tokens,
            self.forwards + other.forwards,
            self.row_forwards + other.row_forwards,
        )


@dataclass
class InterventionReport:
    """What an intervention did in one window."""

    triggered: tuple[int, ...] = ()  # prompts whose groups were sampled again
    fresh: Groups | None = None  # the new completions, one group for each of them
    replaced: int = 0  # completions that entered a group

    @property
    def sampled(self) -> int:
        """Completions sampled again."""
        return 0 if self.fresh is None else self.fresh.correct.numel()

    @property
    def correct(self) -> int:
        """How many of them are correct."""
        return 0 if self.fresh is None else int(self.fresh.correct.sum())


def pick_replacements(wrong: Tensor, correct: Tensor, limit: int) -> list[tuple[int, int]]:
    """(slot in the group, index among the new completions) pairs, at most ``limit``.

    Both sides are exchangeable draws, so taking them in order is as random as any other choice.
    """
    slots = torch.nonzero(wrong)[:, 0].tolist()
    new = torch.nonzero(correct)[:, 0].tolist()
    return list(zip(slots, new, strict=False))[:limit]

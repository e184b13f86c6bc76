"""Guards over a window of rollouts: identical completions, constant rewards."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ..checks import fraction, positive_int
from ..types import RolloutBatch
from .base import WARN, Guard, per_rank


class IdenticalCompletions(Guard):
    """Alarm when a group's completions are the same, token for token, though the temperature is not 0.

    Completions are compared up to their first stop token; those with hints in them are left out,
    because they were sampled from other canvases.

    Args:
        action, repeat_every: See :class:`Guard`.
        share: Alarm when this share of all groups, or more, ...
        windows: ... was so in so many windows in a row.
    """

    name = "identical_completions"
    remembers = ("in_a_row",)

    def __init__(
        self, action: str = WARN, share: float = 0.9, windows: int = 3, repeat_every: int = 10
    ) -> None:
        super().__init__(action, repeat_every)
        self.share = fraction(f"callbacks.{self.name}.share", share)
        self.windows = positive_int(f"callbacks.{self.name}.windows", windows)
        self.in_a_row = 0

    def inspect_window(self, trainer: pl.Trainer, pl_module: Any, batch: RolloutBatch) -> str | None:
        temperature = _temperature(trainer)
        if temperature == 0:  # greedy: they are meant to be the same
            return None
        same, comparable = identical_groups(_whole(trainer, batch))
        counts = torch.stack([same.sum(), comparable.sum()]).float()
        total = [sum(column) for column in zip(*per_rank(pl_module, counts), strict=True)]
        alike = total[1] > 0 and total[0] >= self.share * total[1]
        self.in_a_row = self.in_a_row + 1 if alike else 0
        if self.in_a_row < self.windows:
            return None
        at = "" if temperature is None else f" at temperature {temperature:g}"
        return (
            f"all completions of a group are the same in {total[0]:.0f} of {total[1]:.0f} groups{at}, for "
            f"{self.in_a_row} windows: the sampler ignores its temperature or its seeds, or the policy has "
            "collapsed to one answer per prompt; see samples.jsonl"
        )

    def reset(self) -> None:
        self.in_a_row = 0


class ConstantReward(Guard):
    """Alarm when the reward was the same for every completion of several windows in a row.

    Args:
        action, repeat_every: See :class:`Guard`. ``skip`` keeps the KL term, momentum and weight
            decay from moving the weights while there is nothing to learn.
        windows: In a row.
    """

    name = "constant_reward"
    remembers = ("in_a_row", "value")

    def __init__(self, action: str = WARN, windows: int = 5, repeat_every: int = 10) -> None:
        super().__init__(action, repeat_every)
        self.windows = positive_int(f"callbacks.{self.name}.windows", windows)
        self.in_a_row = 0
        self.value: float | None = None  # the reward that all completions of the last window had

    def inspect_window(self, trainer: pl.Trainer, pl_module: Any, batch: RolloutBatch) -> str | None:
        rewards = _whole(trainer, batch).rewards.float()
        ends = per_rank(pl_module, torch.stack([rewards.amin(), rewards.amax()]))
        low, high = min(rank[0] for rank in ends), max(rank[1] for rank in ends)
        if low != high:  # a NaN is FiniteGuard's business
            self.in_a_row, self.value = 0, None
            return None
        self.in_a_row = self.in_a_row + 1 if low == self.value else 1
        self.value = low
        if self.in_a_row < self.windows:
            return None
        return (
            f"the reward is {low:g} for every completion of the last {self.in_a_row} windows: nothing to "
            f"learn. {_advice(_whole(trainer, batch))}; see samples.jsonl"
        )

    def reset(self) -> None:
        self.in_a_row, self.value = 0, None


def identical_groups(window: RolloutBatch) -> tuple[Tensor, Tensor]:
    """([P], [P]) bool: groups whose completions are all the same, and groups that can be compared."""
    tokens = window.completions.masked_fill(~window.loss_mask, -1)
    hinted = window.hint_mask.any(-1)  # [P, G]
    first = hinted.int().argmin(1)  # a completion of each group without hints, if there is one
    model = tokens[torch.arange(len(tokens), dtype=torch.long, device=tokens.device), first].unsqueeze(1)
    comparable = (~hinted).sum(1) > 1
    return ((tokens == model).all(-1) | hinted).all(1) & comparable, comparable


def _whole(trainer: pl.Trainer, batch: RolloutBatch) -> RolloutBatch:
    """The window that a micro-batch is part of."""
    window = getattr(trainer.datamodule, "window", None)
    return batch if window is None else window


def _temperature(trainer: pl.Trainer) -> float | None:
    sampler = getattr(getattr(trainer.datamodule, "engine", None), "sampler", None)
    return getattr(sampler, "temperature", None)


def _advice(window: RolloutBatch) -> str:
    if window.correct.all():
        return "All are correct: the problems are too easy, or the reward accepts anything"
    if window.correct.any():
        return "Some are correct and some are not: the reward does not tell them apart"
    return "None is correct: the problems are too hard, answers are cut off, or the reward misreads them"

"""Guards over a rollout: identical completions, constant rewards, hints that are never written."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...checks import fraction, positive_int
from ...distributed import reduce
from ...rollout.interventions import HINTED
from ...types import Rollout
from .base import WARN, Action, Guard


class IdenticalCompletions(Guard):
    """Alarm when a group's completions are the same, token for token, though the temperature is not 0.

    Completions are compared up to their first stop token; those with hints in them are left out,
    because they were sampled from other canvases.

    Args:
        share: Alarm when this share of all groups, or more, ...
        rollouts: ... was so in so many rollouts in a row.
    """

    name = "identical_completions"

    def __init__(
        self, action: Action = WARN, share: float = 0.9, rollouts: int = 3, repeat_every: int = 10
    ) -> None:
        super().__init__(action, repeat_every)
        self.share = fraction(f"callbacks.{self.name}.share", share)
        self.rollouts = positive_int(f"callbacks.{self.name}.rollouts", rollouts)

    def inspect_rollout(self, trainer: Any, pl_module: Any, batch: Rollout) -> str | None:
        sampler = getattr(getattr(trainer.datamodule, "algorithm", None), "sampler", None)
        temperature = getattr(sampler, "temperature", None)
        if temperature == 0:  # greedy: they are meant to be the same
            return None
        same, comparable = identical_groups(_whole(trainer, batch))
        alike, groups = reduce([same.sum(), comparable.sum()], "sum", pl_module.device)
        self.in_a_row = self.in_a_row + 1 if groups and alike >= self.share * groups else 0
        if self.in_a_row < self.rollouts:
            return None
        at = "" if temperature is None else f" at temperature {temperature:g}"
        return (
            f"all completions of a group are the same in {alike:.0f} of {groups:.0f} groups{at}, for "
            f"{self.in_a_row} rollouts: the sampler ignores its temperature or its seeds, or the policy has "
            "collapsed to one answer per prompt; see samples.jsonl"
        )


class ConstantReward(Guard):
    """Alarm when the reward was the same for every completion of several rollouts in a row.

    Args:
        action: ``skip`` keeps the KL term, momentum and weight
            decay from moving the weights while there is nothing to learn.
        rollouts: In a row.
    """

    name = "constant_reward"
    remembers = ("value",)

    def __init__(self, action: Action = WARN, rollouts: int = 5, repeat_every: int = 10) -> None:
        super().__init__(action, repeat_every)
        self.rollouts = positive_int(f"callbacks.{self.name}.rollouts", rollouts)
        self.value: float | None = None  # the reward that all completions of the last rollout had

    def inspect_rollout(self, trainer: Any, pl_module: Any, batch: Rollout) -> str | None:
        rollout = _whole(trainer, batch)
        low, high = rollout.rewards.min(), rollout.rewards.max()
        minus_low, high = reduce([-low, high], "max", pl_module.device)
        if high != -minus_low:  # a NaN, too, which is FiniteGuard's business
            self.in_a_row, self.value = 0, None
            return None
        self.in_a_row = self.in_a_row + 1 if high == self.value else 1
        self.value = high
        if self.in_a_row < self.rollouts:
            return None
        advice = (
            "None is correct: the problems are too hard, answers are cut off, or the reward misreads them"
        )
        if rollout.correct.all():
            advice = "All are correct: the problems are too easy, or the reward accepts anything"
        elif rollout.correct.any():
            advice = "Some are correct and some are not: the reward does not tell them apart"
        return (
            f"the reward is {high:g} for every completion of the last {self.in_a_row} rollouts: nothing to "
            f"learn. {advice}; see samples.jsonl"
        )


class UnwrittenHints(Guard):
    """Alarm when second tries are to be hinted, and not one has been so far.

    A chunk longer than the traces, or a ratio below one chunk of them, makes IGPO sampling again. Hints that
    fade out during a run are meant to.

    Args:
        rollouts: With second tries, before the alarm.
    """

    name = "unwritten_hints"
    remembers = ("written",)

    def __init__(self, action: Action = WARN, rollouts: int = 5, repeat_every: int = 100) -> None:
        super().__init__(action, repeat_every)
        self.rollouts = positive_int(f"callbacks.{self.name}.rollouts", rollouts)
        self.written = False  # whether any hint was, in this run

    def inspect_rollout(self, trainer: Any, pl_module: Any, batch: Rollout) -> str | None:
        algorithm = getattr(trainer.datamodule, "algorithm", None)
        if self.written or getattr(getattr(algorithm, "inpaint", None), "purpose", None) != HINTED:
            return None
        metrics = _whole(trainer, batch).metrics
        mine = [metrics.get("resampled", 0.0), metrics.get("resampled_hinted", 0.0)]
        tries, hinted = reduce(mine, "sum", pl_module.device)
        self.written = hinted > 0
        if self.written or not tries:
            return None
        self.in_a_row += 1
        if self.in_a_row < self.rollouts:
            return None
        return (
            f"no second try of {self.in_a_row} rollouts has had a hint: chunks are too long for the traces, "
            "or the ratio is below one of them; see algo.inpaint.chunk, algo.inpaint.ratio"
        )


def identical_groups(rollout: Rollout) -> tuple[Tensor, Tensor]:
    """([P], [P]) bool: groups whose completions are all the same, and groups that can be compared."""
    tokens = rollout.tokens.masked_fill(~rollout.completion_mask, -1)
    hinted = rollout.hint_mask.any(-1)  # [P, G]
    first = hinted.int().argmin(1)  # a completion of each group without hints, if there is one
    model = tokens.take_along_dim(first[:, None, None], 1)
    comparable = (~hinted).sum(1) > 1
    return ((tokens == model).all(-1) | hinted).all(1) & comparable, comparable


def _whole(trainer: Any, batch: Rollout) -> Rollout:
    """The rollout that a micro-batch is part of."""
    rollout = getattr(trainer.datamodule, "rollout", None)
    return batch if rollout is None else rollout

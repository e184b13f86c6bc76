"""Changes to groups after they are scored (IGPO, arXiv 2509.10396, Algorithm 1).

An intervention is ``(rollout, resampler) -> (rollout, report)``; nothing after it knows that it ran,
except through ``rollout.hint_mask``. All of them are one :class:`Retry` with other parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..checks import fraction, positive_int
from ..types import Rollout
from .hints import Chunks, ForcedAnswer, Hints, NoHints
from .resampler import Resampler
from .spans import Span

HINTED = "inpaint"
"""Purpose of second tries that are to have hints."""


@dataclass
class Report:
    """The doings of an intervention in one rollout."""

    triggered: tuple[int, ...] = ()  # prompts whose groups were sampled again
    fresh: tuple[Rollout, ...] = ()  # the new completions, one rollout for each try
    of: tuple[tuple[int, ...], ...] = ()  # the prompts of each of them
    replaced: int = 0  # completions that entered a group

    @property
    def sampled(self) -> int:
        """Completions sampled again."""
        return sum(fresh.correct.numel() for fresh in self.fresh)

    @property
    def correct(self) -> int:
        """Correct ones among them."""
        return sum(int(fresh.correct.sum()) for fresh in self.fresh)

    @property
    def hinted(self) -> int:
        """Those with a hint written into them."""
        return sum(int(fresh.hint_mask.any(-1).sum()) for fresh in self.fresh)


class Intervention(Protocol):
    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Report]: ...


class Trigger(Protocol):
    def __call__(self, rollout: Rollout, resampler: Resampler) -> list[int]:
        """Prompts to sample again for."""
        ...


class Merge(Protocol):
    def __call__(self, correct: Tensor, fresh: Tensor) -> list[tuple[int, int]]:
        """(place in the group, index among the new completions) of each that enters the group.

        ``correct`` [G] and ``fresh`` [N] bool say which completions are.
        """
        ...

    def most(self, group_size: int) -> int:
        """Most completions that can enter a group; 0: nothing needs to be sampled."""
        ...


class Keep:
    """GRPO: groups stay as they are."""

    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Report]:
        return rollout, Report()


class Retry:
    """Sample again for some prompts, and merge the new completions into their groups.

    Args:
        when: The prompts.
        hints: Canvases of the new completions.
        merge: Which of them take whose place.
        completions: New completions of a prompt; None: as many as a group has.
        tries: Rounds at most; after the first, only for groups that have nothing correct yet.
        purpose: Part of the seeds.
    """

    def __init__(
        self,
        when: Trigger,
        hints: Hints,
        merge: Merge,
        completions: int | None = None,
        tries: int = 1,
        purpose: str = "resample",
    ):
        self.when, self.hints, self.merge, self.purpose = when, hints, merge, purpose
        self.completions = completions and positive_int("algo.inpaint.completions", completions)
        self.tries = positive_int("algo.inpaint.tries", tries)

    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Report]:
        if self.merge.most(resampler.group_size) == 0:
            return rollout, Report()
        which = [p for p in self.when(rollout, resampler) if self.hints.can_help(p, resampler)]
        report = Report(tuple(which))
        for attempt in range(self.tries):
            if not resampler.anyone(bool(which)):
                break
            rollout = rollout if report.fresh else rollout.copy()
            count = self.completions or resampler.group_size
            purpose = self.purpose if attempt == 0 else f"{self.purpose}-{attempt}"
            canvas, hint_mask = self.hints(which, count, resampler, purpose)
            fresh = resampler.sample(which, canvas, hint_mask, purpose)
            report.fresh, report.of = (*report.fresh, fresh), (*report.of, tuple(which))
            report.replaced += self._merge(rollout, fresh, which)
            which = [p for row, p in enumerate(which) if not fresh.correct[row].any()]
        return rollout, report if report.fresh else Report()

    def _merge(self, rollout: Rollout, fresh: Rollout, which: Sequence[int]) -> int:
        entered = 0
        for row, p in enumerate(which):
            for place, new in self.merge(rollout.correct[p], fresh.correct[row]):
                rollout.put((p, place), fresh, (row, new))
                entered += 1
        return entered


class AllWrong:
    """Groups without a correct completion.

    Args:
        micro_batch: Only where that holds for all groups that are trained on together, as in the
            published code of IGPO: there, one correct completion leaves the other groups as they are.
    """

    def __init__(self, micro_batch: bool = False):
        self.micro_batch = micro_batch

    def __call__(self, rollout: Rollout, resampler: Resampler) -> list[int]:
        wrong = rollout.all_wrong
        if self.micro_batch:
            wrong = torch.cat([part.all().expand_as(part) for part in wrong.split(resampler.micro_batch)])
        return torch.nonzero(wrong)[:, 0].tolist()


class ReplaceWrong:
    """Correct new completions take the places of wrong ones, at most ⌊share · G⌋ of a group.

    Both sides are exchangeable draws, so taking them in order is as random as any other choice.

    Args:
        share: λ; the paper's is 0.5. 0 makes this GRPO.
    """

    def __init__(self, share: float = 0.5):
        self.share = fraction("algo.inpaint.replace", share)

    def most(self, group_size: int) -> int:
        return math.floor(self.share * group_size + 1e-9)  # 0.58 * 50 is 28.999…

    def __call__(self, correct: Tensor, fresh: Tensor) -> list[tuple[int, int]]:
        places = torch.nonzero(~correct)[:, 0].tolist()
        new = torch.nonzero(fresh)[:, 0].tolist()
        return list(zip(places, new, strict=False))[: self.most(len(correct))]


def inpaint(
    ratio: Sequence[float] | float = (0.2, 0.6),
    replace: float = 0.5,
    chunk: Sequence[int] = (5, 10),
    content: str = "trace",
    when: Trigger | None = None,
    stretch: bool = False,
    span: Span | None = None,
) -> Retry:
    """IGPO: all-wrong groups once more, with chunks of the true trace as fixed hints.

    Args:
        ratio, chunk, content, stretch, span: See :class:`~igpo_lightning.rollout.hints.Chunks`.
        replace: λ, see :class:`ReplaceWrong`.
        when: By default :class:`AllWrong`.
    """
    hints = Chunks(ratio, chunk, content, stretch, span)
    return Retry(when or AllWrong(), hints, ReplaceWrong(replace), purpose=HINTED)


def force_answer(replace: float = 0.5, place: str = "trace", when: Trigger | None = None) -> Retry:
    """Answer forcing: all-wrong groups once more, around their true final answer.

    Args:
        replace: λ, see :class:`ReplaceWrong`: the most that forced completions make up of a group.
        place: See :class:`~igpo_lightning.rollout.hints.ForcedAnswer`.
        when: By default :class:`AllWrong`.
    """
    return Retry(when or AllWrong(), ForcedAnswer(place), ReplaceWrong(replace), purpose=HINTED)


def resample(
    replace: float = 0.5,
    when: Trigger | None = None,
    completions: int | None = None,
    tries: int = 1,
) -> Retry:
    """All-wrong groups once more without hints: GRPO with the completions that IGPO uses.

    With ``tries`` above 1 it is oversampling until something is right, or the budget is spent.

    Args:
        replace: λ, see :class:`ReplaceWrong`.
        when: By default :class:`AllWrong`.
        completions, tries: See :class:`Retry`.
    """
    return Retry(when or AllWrong(), NoHints(), ReplaceWrong(replace), completions, tries)

"""Choice of the groups that an update learns from: after interventions, before advantages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..checks import interval, positive_int
from ..types import Rollout
from .resampler import Resampler


@dataclass
class Selection:
    """The doings of a selection in one rollout."""

    fresh: tuple[Rollout, ...] = ()  # groups of other prompts, one rollout for each round
    swapped: int = 0  # groups that gave their place to another prompt's

    @property
    def sampled(self) -> int:
        """Prompts that were tried."""
        return sum(len(fresh.rewards) for fresh in self.fresh)


class Select(Protocol):
    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Selection]: ...


class AllGroups:
    """Every group, whatever it has to say."""

    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Selection]:
        return rollout, Selection()


class OtherPrompts:
    """Groups that are all right or all wrong give their places to other prompts' that are neither.

    Dynamic sampling (DAPO, arXiv 2503.14476, section 3.2), within a budget: in each round every such place
    gets one other prompt of the training set, sampled without hints. A place that finds none in time keeps
    its group. Which prompt a place gets in which round is drawn by the rollout alone, so that neither the
    batch nor the number of processes matters.

    Args:
        tries: Rounds at most; fewer where the training set has no more prompts.
        between: [lowest, highest] share of correct completions of a group that stays (TraceRL's code: 0.2
            to 0.8); None: anything but 0 and 1.
    """

    def __init__(self, tries: int = 3, between: Sequence[float] | None = None):
        self.tries = positive_int("algo.select.tries", tries)
        self.between = None if between is None else interval("algo.select.between", between, 0.0, 1.0)

    def stays(self, rollout: Rollout) -> Tensor:
        """[P] bool: the groups that are kept."""
        share = rollout.correct.float().mean(1)
        if self.between is None:
            return (share > 0) & (share < 1)
        return (share >= self.between[0] - 1e-6) & (share <= self.between[1] + 1e-6)

    def __call__(self, rollout: Rollout, resampler: Resampler) -> tuple[Rollout, Selection]:
        report = Selection()
        for attempt in range(self.tries):
            places = torch.nonzero(~self.stays(rollout))[:, 0].tolist()
            if not resampler.anyone(bool(places)) or not resampler.add_spares(attempt):
                break
            which = [resampler.spare(attempt, place) for place in places]
            fresh = resampler.sample(which, *resampler.blank(len(which)), f"select-{attempt}")
            report.fresh = (*report.fresh, fresh)
            found = torch.nonzero(self.stays(fresh))[:, 0].tolist()
            if found:
                rows = list(range(len(rollout.rewards)))
                for row in found:
                    rows[places[row]] = len(rows) + row
                order = torch.tensor(rows, dtype=torch.long, device="cpu")  # as the seeds are
                rollout = Rollout.joined([rollout, fresh]).select(order).trimmed()
                report.swapped += len(found)
        return rollout, report

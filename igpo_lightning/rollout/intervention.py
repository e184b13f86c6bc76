"""What happens to groups in which every completion is wrong (IGPO, arXiv 2509.10396, Algorithm 1).

An intervention is ``(groups, resample) -> (groups, report)``. It sees scored groups and a
:class:`Resampler` that samples again for some of the prompts; nothing after it knows that it ran,
except through ``groups.hint_mask``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..checks import choice, fraction, interval
from ..seeding import python_rng
from ..types import Prompt
from .groups import Groups, InterventionReport, pick_replacements


class Resampler(Protocol):
    """What an intervention may use of a window; see :class:`~igpo_lightning.rollout.window.WindowSampler`."""

    prompts: Sequence[Prompt]
    group_size: int
    width: int
    mask_id: int
    micro_batch: int

    def seed(self, purpose: str, p: int, g: int) -> int: ...

    def anyone(self, flag: bool) -> bool: ...

    def blank(self, count: int) -> tuple[Tensor, Tensor]: ...

    def sample(self, which: Sequence[int], canvas: Tensor, hint_mask: Tensor, purpose: str) -> Groups: ...


class Intervention(Protocol):
    def __call__(self, groups: Groups, again: Resampler) -> tuple[Groups, InterventionReport]: ...


class Trigger(Protocol):
    def __call__(self, groups: Groups, again: Resampler) -> list[int]: ...


class AllWrong:
    """Sample again for groups without a correct completion.

    Args:
        micro_batch: Only where that holds for all groups that are trained on together, as in the
            published code of IGPO: there, one correct completion leaves the other groups as they are.
    """

    def __init__(self, micro_batch: bool = False):
        self.micro_batch = micro_batch

    def __call__(self, groups: Groups, again: Resampler) -> list[int]:
        """Indices of the prompts to sample again for."""
        wrong = groups.all_wrong
        if self.micro_batch:
            wrong = torch.cat([part.all().expand_as(part) for part in wrong.split(again.micro_batch)])
        return torch.nonzero(wrong)[:, 0].tolist()


class Keep:
    """GRPO: groups stay as they are."""

    def __call__(self, groups: Groups, again: Resampler) -> tuple[Groups, InterventionReport]:
        return groups, InterventionReport()


class Resample:
    """Sample all-wrong groups once more, without hints: GRPO with the completions that IGPO uses.

    Args:
        replace: λ; at most ⌊λ·G⌋ wrong completions of a group give way to correct new ones.
        trigger: (groups, resampler) → prompts to sample again for; by default :class:`AllWrong`.
    """

    purpose = "resample"

    def __init__(self, replace: float = 0.5, trigger: Trigger | None = None):
        self.replace = fraction("algo.inpaint.replace", replace)
        self.trigger = AllWrong() if trigger is None else trigger

    def __call__(self, groups: Groups, again: Resampler) -> tuple[Groups, InterventionReport]:
        which = self.trigger(groups, again)
        limit = math.floor(self.replace * again.group_size + 1e-9)  # 0.58 * 50 is 28.999…
        if limit == 0 or not again.anyone(bool(which)):
            return groups, InterventionReport()
        canvas, hint_mask = self.canvas(which, again)
        fresh = again.sample(which, canvas, hint_mask, self.purpose)
        result = groups.copy()
        result.cost = groups.cost + fresh.cost
        replaced = 0
        for row, p in enumerate(which):
            for g, new in pick_replacements(~groups.correct[p], fresh.correct[row], limit):
                result.overwrite(p, g, fresh, row, new)
                replaced += 1
        return result, InterventionReport(tuple(which), fresh, replaced)

    def canvas(self, which: list[int], again: Resampler) -> tuple[Tensor, Tensor]:
        """[P', G, C] canvas and hint mask to start the new completions from."""
        return again.blank(len(which))


_CONTENT = {"trace": "hint", "answer": "response"}
"""Fields of a :class:`~igpo_lightning.types.Prompt`."""


class Inpaint(Resample):
    """IGPO: sample all-wrong groups once more with chunks of the true trace as fixed hints.

    Args:
        placer: Writes the hints of one completion.
        ratio: (lowest, highest) share η of chunks to write, drawn per completion; one number fixes it.
        replace: λ, as in :class:`Resample`. 0 makes this GRPO.
        content: What hints are cut from: the "trace" without what tells its answer, or the trace with
            its "answer", whose copies are rewarded for nothing.
        trigger: As in :class:`Resample`.
    """

    purpose = "inpaint"

    def __init__(
        self,
        placer,
        ratio: Sequence[float] | float = (0.2, 0.6),
        replace: float = 0.5,
        content: str = "trace",
        trigger: Trigger | None = None,
    ):
        super().__init__(replace, trigger)
        self.content = choice("algo.inpaint.content", content, *_CONTENT)
        self.placer = placer
        self.low, self.high = interval("algo.inpaint.ratio", ratio, 0.0, 1.0)

    def canvas(self, which: list[int], again: Resampler) -> tuple[Tensor, Tensor]:
        canvas, hint_mask = again.blank(len(which))
        for row, p in enumerate(which):
            for g in range(again.group_size):
                seed = again.seed("place", p, g)
                ratio = python_rng(seed, "ratio").uniform(self.low, self.high)
                hint = getattr(again.prompts[p], _CONTENT[self.content])
                canvas[row, g], hint_mask[row, g] = self.placer(hint, again.width, ratio, seed, again.mask_id)
        return canvas, hint_mask

"""Replay of the canvases that the sampler itself passed through, by ``step_map``."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import ConfigError, choice, positive_int
from ...seeding import torch_rng
from ...types import Rollout
from .base import Draw
from .steps import ranks


class Replay:
    """Read each token under the canvas in which it was written; the steps of a completion in groups.

    Hints have no step: they stay visible and are never scored; the way on from them is learnt, they are not.
    The fill behind an end was never drawn: it stays hidden and is not scored.

    Steps in which nothing was written do not count. ``merge`` neighbouring steps make a group, whose tokens
    are read together from the canvas before it: 1 is the sampling law itself (CJ-GRPO, arXiv 2509.23924),
    more are an approximation (``shrink`` of TraceRL, arXiv 2509.06949). ``groups`` instead cuts each
    completion's steps into so many equal parts (d2-StepMerge, arXiv 2509.21474; 1 is d1).

    Args:
        steps: Most steps of a completion, as in the sampler.
        merge: Steps of a group.
        groups: Groups of a completion; None: as many as ``merge`` makes.
        keep: Groups that are replayed in an iteration; None: all.
        choose: "random", anew in each iteration (AGRPO, arXiv 2510.04019), "even", at equal distances, or
            "entropy", those whose tokens were drawn from distributions of the highest mean entropy (EGSPO).
        weight: "token", each weighs the same; or "group", each group does.
    """

    within = 0  # whatever the blocks are

    def __init__(
        self, steps: int, merge: int = 1, groups: int | None = None, keep: int | None = None,
        choose: str = "random", weight: str = "token",
    ):  # fmt: skip
        self.steps = positive_int("algo.logprobs.steps", steps)
        self.merge = positive_int("algo.logprobs.merge", merge)
        self.groups = -(-steps // merge) if groups is None else positive_int("algo.logprobs.groups", groups)
        self.even, most = groups is not None, self.groups if keep is None else keep
        self.keep = min(self.groups, positive_int("algo.logprobs.keep", most))
        choice("algo.logprobs.choose", choose, "random", "even", "entropy")
        self.random, self.needs_step_entropy = choose == "random", choose == "entropy"
        self.by_group = choice("algo.logprobs.weight", weight, "token", "group") == "group"
        self.renewed = self.random and self.keep < self.groups

    def count(self, width: int) -> int:
        return self.keep

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        group, number = self._grouped(rollout.step_map)
        never, chosen = (group < 0) & ~rollout.hint_mask, self._chosen(rollout, number, iteration)
        draws = []
        for d in range(self.keep):
            here = chosen[:, :, d : d + 1]
            scored = (group == here) & (group >= 0)
            weight = (number.float() / number.clamp(1, self.keep)).unsqueeze(-1)
            if self.by_group:
                weight = weight / scored.sum(-1, keepdim=True).clamp(min=1)
            plain = not self.by_group and self.keep == self.groups
            draws.append(Draw((group >= here) | never, scored, None if plain else weight.expand(group.shape)))
        return draws

    def _grouped(self, step_map: Tensor) -> tuple[Tensor, Tensor]:
        """([P, G, C] group of each token, -1 where it has no step; [P, G] groups of each completion)."""
        rank, count = ranks(step_map)
        if (most := int(count.amax())) > self.steps:
            raise ConfigError(
                f"algo.logprobs.steps={self.steps}: a completion took {most}; give at least that"
            )
        if not self.even:
            return rank.div(self.merge, rounding_mode="floor"), (count + self.merge - 1) // self.merge
        group = (rank * self.groups).div(count.clamp(min=1).unsqueeze(-1), rounding_mode="floor")
        return group.masked_fill(rank < 0, -1), count.clamp(max=self.groups)

    def _chosen(self, rollout: Rollout, number: Tensor, iteration: int) -> Tensor:
        """[P, G, keep] groups to replay; one that a completion does not have scores nothing."""
        every = torch.arange(self.groups, dtype=torch.long, device="cpu")
        if self.keep == self.groups:
            return every.to(number.device).expand(*number.shape, -1)
        if self.needs_step_entropy:
            return self._uncertain(rollout, number)
        rows = []
        for seed, counts in zip(rollout.seeds.tolist(), number.tolist(), strict=True):
            for g, n in enumerate(counts):
                rng = torch_rng(seed, "replay", iteration, g)
                order = torch.randperm(n, generator=rng, dtype=torch.long, device="cpu")
                if not self.random:
                    order = every[: min(n, self.keep)] * n // max(1, min(n, self.keep))
                rows.append(torch.cat([order, every[n:]])[: self.keep])
        return torch.stack(rows).view(*number.shape, self.keep).to(number.device)

    def _uncertain(self, rollout: Rollout, number: Tensor) -> Tensor:
        """[P, G, keep] the groups of highest mean entropy, the highest first."""
        if rollout.step_entropy is None:
            raise ConfigError("algo.logprobs.choose=entropy: the sampler recorded no entropies")
        group = self._grouped(rollout.step_map)[0]
        sums = torch.zeros(*number.shape, self.groups + 1, dtype=torch.float32, device=number.device)
        counts = sums.scatter_add(2, group + 1, torch.ones_like(rollout.step_entropy))
        sums = sums.scatter_add(2, group + 1, rollout.step_entropy)
        mean = (sums / counts.clamp(min=1)).masked_fill(counts == 0, -1.0)[:, :, 1:]
        return mean.argsort(dim=-1, descending=True, stable=True)[:, :, : self.keep]

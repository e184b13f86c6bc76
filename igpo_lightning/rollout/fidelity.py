"""Comparison of a fast sampler with the exact one, while a run goes on."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..amounts import fraction, positive, whole_number
from ..distributed import reduce
from ..models import Policy
from ..types import Prompt, Rollout
from .resampler import Resampler


class Fidelity:
    """Samples some prompts again with the exact sampler, and gives the fast one up where it loses too much.

    A sampler that takes several tokens at a time, or caches, writes other completions than the exact one.
    Every so
    many rollouts both fill canvases of the same prompts: at the run's temperature, to compare rewards,
    lengths and log-probabilities, and greedily, to compare tokens. With an exact sampler nothing is done.

    Args:
        every: Rollouts from one comparison to the next; 0 never compares.
        prompts: How many of a process's prompts take part.
        most_lost: Of the mean reward. Beyond it (by two standard errors) the run goes on with the exact
            sampler.
        least_agreement: Share of equal tokens of greedy completions below which it does so, too.
    """

    def __init__(
        self, every: int = 10, prompts: int = 8, most_lost: float = 0.05, least_agreement: float = 0.0
    ):
        self.every = whole_number("algo.fidelity.every", every)
        self.prompts = whole_number("algo.fidelity.prompts", prompts)
        self.most_lost = positive("algo.fidelity.most_lost", most_lost)
        self.least_agreement = fraction("algo.fidelity.least_agreement", least_agreement)

    def due(self, sampler: Any, index: int) -> bool:
        """True if rollout ``index`` is one whose sampler is compared."""
        approximate = getattr(sampler, "approximate", False)
        return bool(approximate and self.every and self.prompts and index % self.every == 0)

    def compare(
        self, policy: Policy, prompts: Sequence[Prompt], first: Rollout, algorithm: Any, logps: Any
    ) -> dict[str, float]:
        """Measure what the fast sampler loses; on several processes all of them must call.

        Args:
            policy: Samples.
            prompts: P of them.
            first: What the fast sampler made of them.
            algorithm: Holds the sampler.
            logps: Rollout → [P, G, C] log-probabilities of its tokens.

        Returns:
            Means over all processes, named as in docs/metrics.md.
        """
        count = min(self.prompts, len(prompts))
        probe = Resampler(policy, prompts[:count], first.index, algorithm)
        rows, sampler = range(count), algorithm.sampler
        exact = probe.sample(rows, *probe.blank(count), "sample", sampler=sampler.exact())
        exact_calls, fast = probe.cost["row_forwards"], first.select(slice(0, count))
        hasty = copy.copy(sampler)
        hasty.temperature = 0.0
        greedy = [
            probe.sample(rows, *probe.blank(count, 1), "sample", sampler=one)
            for one in (sampler.greedy(), hasty)
        ]
        values = {
            "agreement": _share_of_equal(*greedy),
            "reward_lost": exact.rewards.mean() - fast.rewards.mean(),
            "squared_error": (_variance(exact.rewards) + _variance(fast.rewards)) / fast.rewards.numel(),
            "length_gained": _length(fast) - _length(exact),
            "logp_gained": _mean_logp(fast, logps(fast)) - _mean_logp(exact, logps(exact)),
            "exact_row_forwards": exact_calls / max(1, exact.rewards.numel()),
        }
        return dict(
            zip(values, reduce([float(v) for v in values.values()], "mean", probe.device), strict=True)
        )

    def too_much(self, found: dict[str, float], processes: int) -> bool:
        """True if a comparison's result is beyond the bounds; warns of it."""
        error = 2 * (found["squared_error"] / processes) ** 0.5
        reasons = []
        if found["reward_lost"] - error > self.most_lost:
            reasons.append(
                f"the fast sampler loses {found['reward_lost']:.3f} ± {error:.3f} of reward "
                f"(algo.fidelity.most_lost={self.most_lost})"
            )
        if found["agreement"] < self.least_agreement:
            reasons.append(
                f"{found['agreement']:.0%} of greedy tokens agree "
                f"(algo.fidelity.least_agreement={self.least_agreement})"
            )
        if reasons:
            warnings.warn(f"{'; '.join(reasons)}: the run goes on with the exact sampler", stacklevel=2)
        return bool(reasons)


def _share_of_equal(exact: Rollout, fast: Rollout) -> Tensor:
    counted = exact.completion_mask
    return ((exact.tokens == fast.tokens) & counted).sum() / counted.sum().clamp(min=1)


def _variance(rewards: Tensor) -> Tensor:
    return rewards.flatten().var(unbiased=False)


def _length(rollout: Rollout) -> Tensor:
    return rollout.completion_mask.sum(-1).float().mean()


def _mean_logp(rollout: Rollout, logps: Tensor) -> Tensor:
    counted = rollout.completion_mask
    return logps.masked_fill(~counted, 0.0).sum() / counted.sum().clamp(min=1)

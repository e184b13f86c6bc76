"""Group-relative advantages: [P, G] rewards → [P, G] advantages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..checks import interval


@dataclass(frozen=True)
class MeanCentred:
    """A_i = r_i - mean(r), without dividing by the deviation (Dr. GRPO, arXiv 2503.20783, section 3.2)."""

    def __call__(self, rewards: Tensor) -> Tensor:
        return rewards - rewards.mean(dim=1, keepdim=True)


@dataclass(frozen=True)
class Standardised:
    """A_i = (r_i - mean(r)) / (std(r) + epsilon) (GRPO, arXiv 2402.03300, section 4.1.2).

    Args:
        epsilon: Keeps groups of equal rewards at 0.
        unbiased: Whether the variance is divided by G - 1, as by JustGRPO and TRL, or by G.
    """

    epsilon: float = 1e-4
    unbiased: bool = False

    def __call__(self, rewards: Tensor) -> Tensor:
        centred = rewards - rewards.mean(dim=1, keepdim=True)
        return centred / (rewards.std(dim=1, keepdim=True, correction=int(self.unbiased)) + self.epsilon)


@dataclass(frozen=True)
class LeaveOneOut:
    """A_i = r_i - the mean of the other rewards (RLOO, arXiv 2402.14740): G / (G - 1) of the centred one."""

    def __call__(self, rewards: Tensor) -> Tensor:
        others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
        return rewards - others


class WithSignal:
    """Groups whose rewards are all equal do not count: the others' advantages grow by what these leave.

    A loss that is a mean over P prompts is then the mean over those that have something to say, as with
    DAPO's dynamic sampling (arXiv 2503.14476, section 3.2), which samples others until P have. Here no
    completion is sampled more, so the update is noisier. P is of one process; a KL term is not rescaled.

    Args:
        of: The advantages: [P, G] rewards → [P, G] or [P, G, C].
        between: [lowest, highest] mean reward of a group that counts, the others being too hard or too easy
            (TraceRL's code: 0.2 to 0.8, of a reward that is 0 or 1); None: any.
    """

    def __init__(self, of: Callable[[Tensor], Tensor], between: Sequence[float] | None = None):
        self.of = of
        self.between = None if between is None else interval("algo.advantage.between", between, 0.0)

    def __call__(self, rewards: Tensor) -> Tensor:
        speak = rewards.amax(dim=1) > rewards.amin(dim=1)
        if self.between is not None:
            mean = rewards.mean(dim=1)
            speak = speak & (mean >= self.between[0]) & (mean <= self.between[1])
        advantages = self.of(rewards)
        share = speak.float() * (len(speak) / speak.sum().float().clamp(min=1))
        return advantages * share.view(-1, *[1] * (advantages.dim() - 1))

"""Shares of a completion's advantage among its tokens; after old log-probs, before the update."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from ..algos.logprobs import Draw, hidden_tokens
from ..checks import not_negative
from ..sampling.canvas import completion_texts
from ..types import Rollout
from .resampler import Resampler


class Credit(Protocol):
    """A rule of credit; these attributes may be left out.

    Attributes:
        of_tokens: Whether tokens of one completion get different advantages, which some losses don't take.
        needs_same_draws: Whether the estimator's draws have to be the same in every iteration.
    """

    def __call__(self, rollout: Rollout, entropy: Tensor, resampler: Resampler) -> Tensor:
        """[P, G] or [P, G, C] advantages.

        Args:
            rollout: With advantages [P, G] of ``algo.advantage``.
            entropy: [P, G, C] float32 nats of the distributions that tokens were read from; 0 where none was.
            resampler: With the policy, and the reward.
        """
        ...


class PerCompletion:
    """Every token of a completion has the completion's advantage."""

    def __call__(self, rollout: Rollout, entropy: Tensor, resampler: Resampler) -> Tensor:
        assert rollout.advantages is not None
        return rollout.advantages


class ZeroVariance:
    """Groups without a difference learn from their uncertain tokens (RL-ZVP, arXiv 2509.21880, section 3).

    Where a whole group is right, token t has A = α H_t, its entropy; where it is wrong,
    A = -α (max_k H_k - H_t), so that tokens at forks are punished least. Other groups stay as they are.

    Args:
        scale: α.
    """

    of_tokens = True

    def __init__(self, scale: float = 0.1):
        self.scale = not_negative("algo.credit.scale", scale)

    def __call__(self, rollout: Rollout, entropy: Tensor, resampler: Resampler) -> Tensor:
        assert rollout.advantages is not None
        nats = entropy.masked_fill(~rollout.completion_mask, 0.0)
        right, wrong = (flag[:, None, None] for flag in (rollout.correct.all(1), rollout.all_wrong))
        plain = rollout.advantages.unsqueeze(-1).expand_as(nats)
        gained = torch.where(right, self.scale * nats, plain)
        lost = self.scale * (nats - nats.amax(-1, keepdim=True))
        return torch.where(wrong, lost, gained).masked_fill(~rollout.completion_mask, 0.0)


class GreedyBaseline:
    """Each replayed step has an advantage of its own, by what would have come of a greedy end before it.

    EGSPO (github.com/vishnutez/egspo-dllm-rl): r is the completion's reward, r_t that of the canvas before
    step t with each empty column filled with its most likely token. The step's return is
    (r + λ (r - r_t)) / (1 + λ), and its advantage that return less its mean over the group's k-th steps, k
    being the step's place among those that are replayed. It takes one more forward pass of each of them.

    Args:
        weight: λ.
    """

    of_tokens = needs_same_draws = True
    runs_draws = True  # one forward pass of each, for preflight to count

    def __init__(self, weight: float = 0.5):
        self.weight = not_negative("algo.credit.weight", weight)

    def __call__(self, rollout: Rollout, entropy: Tensor, resampler: Resampler) -> Tensor:
        result = torch.zeros_like(rollout.tokens, dtype=torch.float32)
        draws = resampler.algorithm.logprobs.draws(rollout, 0)
        found = [self._greedy(rollout, draw, resampler) for draw in draws]
        for draw, greedy in zip(draws, found, strict=True):
            returns = (rollout.rewards + self.weight * (rollout.rewards - greedy)) / (1 + self.weight)
            centred = (returns - returns.mean(1, keepdim=True)).unsqueeze(-1)
            result = torch.where(draw.scored, centred, result)
        return result

    def _greedy(self, rollout: Rollout, draw: Draw, resampler: Resampler) -> Tensor:
        """[P, G] rewards of the draw's canvases, their hidden tokens filled with the most likely ones."""
        policy: Any = resampler.policy
        step, filled = resampler.micro_batch, []
        for start in range(0, len(rollout.rewards), step):
            part = slice(start, start + step)
            filled.append(hidden_tokens(policy, rollout.select(part), draw.select(part)))
        texts = completion_texts(policy, torch.cat(filled).flatten(0, 1))
        return resampler.judge(rollout, texts).view_as(rollout.rewards)

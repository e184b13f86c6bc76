"""One rollout: P prompts in, P groups of completions out, ready to be learnt from."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import progress
from ..algos import Algorithm
from ..algos.logprobs import Scored, score
from ..distributed import world_size
from ..models import Policy
from ..types import Prompt, Rollout
from .phases import Phases
from .records import costs, failed_tries, rollout_metrics
from .resampler import Resampler


class RolloutEngine:
    """Sample, score, intervene, and prepare the update. Knows nothing of Lightning.

    Args:
        algorithm: All the pieces.

    Attributes:
        prompts_per_forward: Prompts per log-prob pass; equal to the training micro-batch, so that the
            importance ratio of the first update is exactly 1.
        exact: Whether the fast sampler was given up.
    """

    def __init__(self, algorithm: Algorithm):
        self.algorithm = algorithm
        self.prompts_per_forward = algorithm.prompts_per_micro_batch
        self.exact = False

    @torch.no_grad()
    def run(self, policy: Policy, prompts: Sequence[Prompt], index: int) -> Rollout:
        """Make one rollout with the present policy.

        Args:
            policy: Samples, and gives the old log-probs.
            prompts: P of them.
            index: Of the rollout; with the seed and the prompts' ids it determines every draw.
        """
        clock, algorithm, phases = time.perf_counter(), self.algorithm, Phases()
        sampler = algorithm.sampler.exact() if self.exact else algorithm.sampler
        resampler = Resampler(policy, prompts, index, algorithm, self.prompts_per_forward, phases, sampler)
        first = resampler.sample(range(len(prompts)), *resampler.blank(len(prompts)), "sample")
        rollout, report = algorithm.inpaint(first, resampler)
        rollout.advantages = algorithm.advantage(rollout.rewards)
        with phases.of("logprobs"):
            entropy = self._add_logprobs(policy, rollout)
            # Numbers of the device: what is asked of it has been done when they are here.
            rollout.metrics = rollout_metrics(first, rollout, report, entropy, policy.stop_ids)
            if algorithm.fidelity is not None and algorithm.fidelity.due(sampler, index):
                rollout.metrics |= self._compare(policy, prompts, first)
        rollout.second_tries = failed_tries(policy, prompts, report, index)
        rollout.metrics |= costs(resampler, phases, time.perf_counter() - clock)
        return rollout

    def _compare(self, policy: Policy, prompts: Sequence[Prompt], first: Rollout) -> dict[str, float]:
        """Compare the fast sampler with the exact one; later rollouts take the exact one if it must be."""

        def logps(rollout: Rollout) -> Tensor:
            scored = self._score(policy, rollout, 0)
            return (scored.logps * scored.scored).sum(2) / scored.scored.sum(2).clamp(min=1)

        fidelity = self.algorithm.fidelity
        found = fidelity.compare(policy, prompts, first, self.algorithm, logps)
        self.exact = fidelity.too_much(found, world_size())
        del found["squared_error"]
        return {f"fidelity/{name}": value for name, value in found.items()}

    def _add_logprobs(self, policy: Policy, rollout: Rollout) -> Tensor:
        """Old and reference log-probs, and the tokens to learn from, in the draws of every iteration.

        Returns:
            [] mean nats of the distributions that the completions' own tokens, without hints, were read from.
        """
        estimator, width = self.algorithm.logprobs, rollout.tokens.shape[-1]
        rollout.draws = estimator.count(width)
        iterations = range(self.algorithm.distinct_iterations)
        rows = rollout.rewards.numel() * len(iterations) * (1 + policy.keeps_reference)
        with progress.work("log-probs", rows, rollout=rollout.index):
            old = [self._score(policy, rollout, i, entropy=True) for i in iterations]
            rollout.old_logps = torch.cat([part.logps for part in old], dim=2)
            rollout.loss_mask = torch.cat([self._loss_mask(rollout, part) for part in old], dim=2)
            if policy.keeps_reference:
                with policy.reference() as frozen:
                    ref = [self._score(frozen, rollout, i) for i in iterations]
                rollout.ref_logps = torch.cat([part.logps for part in ref], dim=2)
        own = (rollout.completion_mask & ~rollout.hint_mask).unsqueeze(2)
        nats, seen = (torch.stack(terms).sum() for terms in zip(*(
            ((part.entropy * own).sum(), (part.scored & own).sum()) for part in old
        ), strict=True))  # fmt: skip
        return nats / seen.clamp(min=1)

    def _loss_mask(self, rollout: Rollout, scored: Scored) -> Tensor:
        """[P, G, D, C]: the scored tokens that the filter lets through."""
        seen = scored.scored.sum(2)  # draws that score each token
        nats = scored.entropy.sum(2) / seen.clamp(min=1)
        learnt = self.algorithm.learnt(rollout) & (seen > 0)
        kept = self.algorithm.token_filter(learnt, rollout.hint_mask, nats)
        return kept.unsqueeze(2) & scored.scored

    def _score(self, policy: Policy, rollout: Rollout, iteration: int, entropy: bool = False) -> Scored:
        """Log-probs of a whole rollout, in slices of the training micro-batch's size."""
        step, parts = self.prompts_per_forward, []
        for start in range(0, len(rollout.prompt_ids), step):
            rows = rollout.select(slice(start, start + step))
            progress.began(rows.rewards.numel())
            draws = self.algorithm.logprobs.draws(rows, iteration)
            parts.append(score(policy, rows, draws, entropy=entropy))
            progress.finished()
        nats = torch.cat([part.entropy for part in parts]) if entropy else None
        return Scored(torch.cat([p.logps for p in parts]), torch.cat([p.scored for p in parts]), nats)

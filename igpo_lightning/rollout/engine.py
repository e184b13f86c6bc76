"""One rollout: P prompts in, P groups of completions out, ready to be learnt from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import progress
from ..algos import Algorithm
from ..algos.logprobs import Scored, check_blocks, score
from ..contracts import pair, refuse, tensor
from ..distributed import world_size
from ..models import Policy
from ..types import Prompt, Rollout
from .credit import PerCompletion
from .history import History
from .phases import Phases
from .records import costs, failed_tries, rollout_metrics
from .resampler import Resampler
from .selection import AllGroups


class RolloutEngine:
    """Sample, score, intervene, and prepare the update. Knows nothing of Lightning.

    Args:
        algorithm: All the pieces.

    Attributes:
        prompts_per_forward: Prompts per log-prob pass; equal to the training micro-batch, so that the
            importance ratio of the first update is exactly 1.
        exact: Whether the fast sampler was given up.
        history: Of the problems of former rollouts; whoever runs the engine tells it of ``seen``.
        seen: After a rollout: (id, share correct) of each group that was sampled in it without hints.
    """

    def __init__(self, algorithm: Algorithm):
        self.algorithm = algorithm
        self.prompts_per_forward = algorithm.prompts_per_micro_batch
        self.exact = False
        self.history = History()
        self.seen: list[tuple[str, float]] = []
        self._select = algorithm.select or AllGroups()
        self._credit = algorithm.credit or PerCompletion()

    @torch.no_grad()
    def run(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        index: int,
        spares: Callable[[int], Sequence[Prompt]] | None = None,
    ) -> Rollout:
        """Make one rollout with the present policy.

        Args:
            policy: Samples, and gives the old log-probs.
            prompts: P of them.
            index: Of the rollout; with the seed and the prompts' ids it determines every draw.
            spares: Round → another prompt for each of the P, in case a group has nothing to say.
        """
        clock, algorithm, phases = time.perf_counter(), self.algorithm, Phases()
        check_blocks(policy, algorithm.logprobs)
        sampler = algorithm.sampler.exact() if self.exact else algorithm.sampler
        resampler = Resampler(
            policy, prompts, index, algorithm, self.prompts_per_forward, phases, sampler, spares, self.history
        )
        first = resampler.sample(range(len(prompts)), *resampler.blank(len(prompts)), "sample")
        rollout, report = _changed("algo.inpaint", algorithm.inpaint, first, resampler, "replaced")
        rollout, selection = _changed("algo.select", self._select, rollout, resampler, "swapped")
        shape = rollout.tokens.shape
        advantages = algorithm.advantage(rollout.rewards)
        rollout.advantages = tensor("algo.advantage", algorithm.advantage, advantages, shape[:2], shape)
        self._remember(resampler, first, *selection.fresh)
        with phases.of("logprobs"):
            entropy, nats = self._add_logprobs(policy, rollout)
            advantages = self._credit(rollout, nats, resampler)
            rollout.advantages = tensor("algo.credit", self._credit, advantages, shape[:2], shape)
            # Numbers of the device: what is asked of it has been done when they are here.
            rollout.metrics = rollout_metrics(first, rollout, report, entropy, policy.stop_ids)
            rollout.metrics |= {"swapped": float(selection.swapped), "others": float(selection.sampled)}
            fidelity = algorithm.fidelity
            if fidelity is not None and fidelity.due(sampler, index):
                rollout.metrics |= self._compare(fidelity, policy, prompts, first)
        rollout.second_tries = failed_tries(policy, prompts, report, index)
        rollout.metrics |= costs(resampler, phases, time.perf_counter() - clock)
        return rollout

    def _remember(self, resampler: Resampler, *unaided: Rollout) -> None:
        self.seen = []
        for rollout in unaided:
            assert rollout.candidate is not None  # the resampler says it
            shares = rollout.correct.float().mean(1).tolist()
            for p, share in zip(rollout.candidate.tolist(), shares, strict=True):
                self.seen.append((resampler.prompts[p].problem.id, share))

    def _compare(
        self, fidelity: Any, policy: Policy, prompts: Sequence[Prompt], first: Rollout
    ) -> dict[str, float]:
        """Compare the fast sampler with the exact one; later rollouts take the exact one if it must be."""

        def logps(rollout: Rollout) -> Tensor:
            scored = self._score(policy, rollout, 0)
            return (scored.logps * scored.scored).sum(2) / scored.scored.sum(2).clamp(min=1)

        found = fidelity.compare(policy, prompts, first, self.algorithm, logps)
        self.exact = fidelity.too_much(found, world_size())
        del found["squared_error"]
        return {f"fidelity/{name}": value for name, value in found.items()}

    def _add_logprobs(self, policy: Policy, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Old and reference log-probs, and the tokens to learn from, in the draws of every iteration.

        Returns:
            [] mean nats of the distributions that the completions' own tokens, without hints, were read from;
            [P, G, C] those of each token, the mean over its draws.
        """
        estimator, width = self.algorithm.logprobs, rollout.tokens.shape[-1]
        rollout.draws = estimator.count(width)
        iterations = range(self.algorithm.distinct_iterations)
        rows = rollout.rewards.numel() * len(iterations) * (1 + policy.keeps_reference)
        with progress.work("log-probs", rows, rollout=rollout.index):
            old = [self._score(policy, rollout, i, entropy=True) for i in iterations]
            rollout.old_logps = torch.cat([part.logps for part in old], dim=2)
            rollout.loss_mask = torch.cat([self._loss_mask(rollout, part) for part in old], dim=2)
            weights = [part.weight for part in old if part.weight is not None]
            if weights:
                rollout.kept_weight = (rollout.loss_mask * torch.cat(weights, dim=2)).sum((1, 3))
            if policy.keeps_reference:
                with policy.reference() as frozen:
                    ref = [self._score(frozen, rollout, i) for i in iterations]
                rollout.ref_logps = torch.cat([part.logps for part in ref], dim=2)
        own = rollout.completion_mask & ~rollout.hint_mask
        nats = torch.stack([part.nats for part in old]).sum(0)
        seen = torch.stack([part.scored.sum(2) for part in old]).sum(0)
        mean = (nats * own).sum() / (seen * own).sum().clamp(min=1)
        return mean, nats / seen.clamp(min=1)

    def _loss_mask(self, rollout: Rollout, scored: Scored) -> Tensor:
        """[P, G, D, C]: the scored tokens that the filter lets through."""
        seen = scored.scored.sum(2)  # draws that score each token
        nats = scored.nats / seen.clamp(min=1)
        learnt = self.algorithm.learnt(rollout) & (seen > 0)
        token_filter = self.algorithm.token_filter
        kept = token_filter(learnt, rollout.hint_mask, nats)
        kept = tensor("algo.token_filter", token_filter, kept, learnt.shape, boolean=True)
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
        return Scored.joined(parts)


def _changed(
    key: str, part: Callable[..., Any], rollout: Rollout, resampler: Resampler, counted: str
) -> tuple[Rollout, Any]:
    """The rollout that ``part`` makes of one, and its report, which has the field ``counted``."""
    wanted = f"a Rollout and a report with {counted}"
    result = changed, report = pair(key, part, part(rollout, resampler), wanted)
    if not isinstance(changed, Rollout) or not hasattr(report, counted):
        refuse(key, part, result, wanted)
    return changed, report

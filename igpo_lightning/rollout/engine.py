"""One rollout window: P prompts in, a training batch out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .. import progress
from ..checks import group_size as checked_group_size
from ..checks import positive_int
from ..models import Policy
from ..sampling.canvas import up_to_stop
from ..seeding import derive
from ..types import Prompt, RolloutBatch
from .intervention import Intervention
from .records import failed_tries, window_metrics
from .window import WindowSampler


class RolloutEngine:
    """Sample, score, intervene, and prepare the update. Knows nothing of Lightning.

    Args:
        sampler: Fills canvases; its ``length`` is the completion width C.
        reward: Scores texts.
        intervention: What happens to all-wrong groups (Keep, Resample, Inpaint).
        advantage: [P, G] rewards → [P, G] advantages.
        logprobs: Estimator of token log-probabilities; the policy module must use the same.
        token_filter: Which tokens carry gradient.
        group_size: G, at least 2.
        inner_updates: μ, updates per window.
        seed: Of all draws.
        prompts_per_forward: Prompts per log-prob pass; equal to the training micro-batch, so that the
            importance ratio of the first update is exactly 1.
        rows_per_forward: Most canvases per sampling call, to bound memory.
        tokens_after_eos: Train on the whole canvas, and not only up to a completion's end.
        first_box: Score completions by their first box (``reward.first_box()``). Held-out ones are not.
    """

    def __init__(
        self,
        *,
        sampler,
        reward,
        intervention: Intervention,
        advantage: Callable[[Tensor], Tensor],
        logprobs,
        token_filter: Callable[[Tensor, Tensor, Tensor], Tensor],
        group_size: int,
        inner_updates: int,
        prompts_per_forward: int,
        rows_per_forward: int = 1024,
        tokens_after_eos: bool = False,
        first_box: bool = False,
        seed: int = 0,
    ):
        self.sampler, self.intervention = sampler, intervention
        self.reward = reward.first_box() if first_box else reward
        self.tokens_after_eos = tokens_after_eos
        self.advantage, self.logprobs, self.token_filter = advantage, logprobs, token_filter
        self.group_size = checked_group_size(group_size)
        self.inner_updates = positive_int("algo.inner_updates", inner_updates)
        self.prompts_per_forward = positive_int("algo.prompts_per_step", prompts_per_forward)
        self.rows_per_forward = positive_int("algo.rows_per_forward", rows_per_forward)
        self.seed = seed

    @torch.no_grad()
    def run(self, policy: Policy, prompts: Sequence[Prompt], window: int) -> RolloutBatch:
        """Generate one window with the present policy.

        Args:
            policy: Samples, and gives the old log-probs.
            prompts: The window's P prompts.
            window: Its index; with the seed and the prompts' ids it determines every draw.

        Returns:
            The window as a RolloutBatch whose first axis is prompts; take slices with ``rows``.
        """
        clock = time.perf_counter()
        samples = WindowSampler(
            policy,
            prompts,
            window,
            sampler=self.sampler,
            reward=self.reward,
            group_size=self.group_size,
            rows_per_forward=self.rows_per_forward,
            micro_batch=self.prompts_per_forward,
            seed=self.seed,
        )
        first = samples.sample(range(len(prompts)), *samples.blank(len(prompts)), "sample")
        groups, report = self.intervention(first, samples)
        seeds = [derive(self.seed, "plan", window, p.problem.id) for p in prompts]
        views = (0, *groups.completions.shape)  # no view is estimated yet
        completed = up_to_stop(groups.completions, policy.stop_ids)
        batch = RolloutBatch(
            prompt_ids=samples.tensors.ids,
            prompt_mask=samples.tensors.mask,
            completions=groups.completions,
            hint_mask=groups.hint_mask,
            rewards=groups.rewards,
            correct=groups.correct,
            advantages=self.advantage(groups.rewards),
            loss_mask=torch.ones_like(completed) if self.tokens_after_eos else completed,
            old_logps=torch.empty(views, dtype=torch.float32, device=samples.device),
            ref_logps=None,
            keep=torch.empty(views, dtype=torch.bool, device=samples.device),
            seeds=torch.tensor(seeds, dtype=torch.long, device="cpu"),
            window=window,
        )
        self._add_logprobs(policy, batch)
        batch.second_tries = failed_tries(policy, prompts, report, window)
        seconds = time.perf_counter() - clock
        batch.metrics = window_metrics(first, groups, report, completed, seconds)
        return batch

    def _add_logprobs(self, policy: Policy, batch: RolloutBatch) -> None:
        """Old and reference log-probs, and the tokens to learn from, for every view of the window."""
        views = self.logprobs.views(self.inner_updates)
        rows = batch.rewards.numel() * views * (1 + policy.keeps_reference)
        with progress.work("log-probs", rows, window=batch.window):
            self._estimate_all(policy, batch, views)

    def _estimate_all(self, policy: Policy, batch: RolloutBatch, views: int) -> None:
        old = [self._estimate(policy, batch, view, entropy=True) for view in range(views)]
        batch.old_logps = torch.stack([logps for logps, _, _ in old])
        batch.keep = torch.stack(
            [self.token_filter(batch.loss_mask & scored, batch.hint_mask, nats) for _, scored, nats in old]
        )
        if policy.keeps_reference:
            with policy.reference() as frozen:
                ref = [self._estimate(frozen, batch, view, entropy=False) for view in range(views)]
            batch.ref_logps = torch.stack([logps for logps, _, _ in ref])

    def _estimate(self, policy: Policy, batch: RolloutBatch, view: int, *, entropy: bool):
        """Estimate the window in slices of the training micro-batch's size."""
        step, parts = self.prompts_per_forward, []
        for start in range(0, len(batch.prompt_ids), step):
            rows = batch.rows(start, start + step)
            progress.began(rows.rewards.numel())
            part = self.logprobs(policy, rows, view, entropy=entropy)
            parts.append((part.logps, part.scored, part.entropy))
            progress.finished()
        logps, scored, nats = zip(*parts, strict=True)
        return torch.cat(logps), torch.cat(scored), torch.cat(nats) if entropy else None

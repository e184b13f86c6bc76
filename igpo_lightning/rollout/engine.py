"""One rollout window: P prompts in, a training batch out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ..checks import group_size as checked_group_size
from ..checks import positive_int
from ..models import Policy
from ..sampling.canvas import PromptTensors, attention_of, collate, completion_texts, up_to_stop
from ..sampling.lockstep import agree_any, agree_max
from ..seeding import derive
from ..types import Prompt, RolloutBatch, SampleRecord
from .groups import Cost, Groups, InterventionReport
from .intervention import Intervention, Resampler


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
        seed: int = 0,
    ):
        self.sampler, self.reward, self.intervention = sampler, reward, intervention
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
        tensors = collate(prompts, policy.pad_id, next(policy.parameters()).device)
        again = Resampler(
            prompts=prompts,
            group_size=self.group_size,
            width=self.sampler.length,
            mask_id=policy.mask_id,
            seed=partial(self._seed, prompts, window),
            sample=partial(self._sample, policy, prompts, tensors, window),
            anyone=partial(agree_any, device=tensors.ids.device),
        )
        first = again.sample(list(range(len(prompts))), *again.blank(len(prompts)), "sample")
        groups, report = self.intervention(first, again)
        batch = RolloutBatch(
            prompt_ids=tensors.ids,
            prompt_mask=tensors.mask,
            completions=groups.completions,
            hint_mask=groups.hint_mask,
            rewards=groups.rewards,
            correct=groups.correct,
            advantages=self.advantage(groups.rewards),
            loss_mask=up_to_stop(groups.completions, policy.stop_ids),
            old_logps=torch.empty(0, *groups.completions.shape),  # of no view yet
            ref_logps=None,
            keep=torch.empty(0, *groups.completions.shape, dtype=torch.bool),
            seeds=torch.tensor([derive(self.seed, "plan", window, p.problem.id) for p in prompts]),
            window=window,
        )
        self._add_logprobs(policy, batch)
        batch.metrics = _metrics(first, groups, report, batch, time.perf_counter() - clock)
        return batch

    def _seed(self, prompts: Sequence[Prompt], window: int, purpose: str, p: int, g: int) -> int:
        return derive(self.seed, purpose, window, prompts[p].problem.id, g)

    def _sample(
        self,
        policy: Policy,
        prompts: Sequence[Prompt],
        tensors: PromptTensors,
        window: int,
        which: list[int],
        canvas: Tensor,
        hint_mask: Tensor,
        purpose: str,
    ) -> Groups:
        """Fill the completions of the prompts ``which`` from ``canvas`` [P', G, C], and score them."""
        device, width, group = tensors.ids.device, self.sampler.length, self.group_size
        rows = [(p, g) for p in which for g in range(group)]
        index = torch.tensor([p for p, _ in rows], dtype=torch.long, device=device)
        seeds = [self._seed(prompts, window, purpose, p, g) for p, g in rows]
        full = torch.cat([tensors.ids[index], canvas.to(device).view(-1, width)], dim=1)
        attention = attention_of(tensors.mask, width)
        attention = None if attention is None else attention[index]
        tokens, cost = self._fill(policy, full, attention, seeds, tensors)
        completions = tokens[:, -width:]
        texts = completion_texts(policy, completions)
        scores = self.reward(texts, [prompts[p].problem.answer for p, _ in rows])
        shape = (len(which), group)
        cost.completions, cost.tokens = len(rows), len(rows) * width
        return Groups(
            completions=completions.view(*shape, width),
            hint_mask=hint_mask.to(device),
            rewards=scores.total.to(device).view(shape),
            correct=scores.correct.to(device).view(shape),
            parts={name: part.to(device).view(shape) for name, part in scores.parts.items()},
            cost=cost,
        )

    def _fill(
        self, policy: Policy, canvas: Tensor, attention, seeds: list[int], tensors
    ) -> tuple[Tensor, Cost]:
        """Run the sampler over chunks of rows, as many chunks on every process."""
        device = canvas.device
        anyone = partial(agree_any, device=device)
        filled, cost = [canvas[:0]], Cost()
        for chunk in range(agree_max(-(-len(canvas) // self.rows_per_forward), device)):
            rows = slice(chunk * self.rows_per_forward, (chunk + 1) * self.rows_per_forward)
            part = canvas[rows]
            if not len(part):  # nothing left here: a finished canvas joins the others' model calls
                idle = torch.full((1, canvas.shape[1]), policy.eos_id, device=device)
                self.sampler(policy, idle, None, [0], keep_going=anyone)
                continue
            samples = self.sampler(
                policy, part, None if attention is None else attention[rows], seeds[rows], keep_going=anyone
            )
            filled.append(samples.tokens)
            cost += Cost(forwards=samples.forwards, row_forwards=samples.row_forwards)
        return torch.cat(filled), cost

    def _add_logprobs(self, policy: Policy, batch: RolloutBatch) -> None:
        """Old and reference log-probs, and the tokens to learn from, for every view of the window."""
        views = self.logprobs.views(self.inner_updates)
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
            part = self.logprobs(policy, batch.rows(start, start + step), view, entropy=entropy)
            parts.append((part.logps, part.scored, part.entropy))
        logps, scored, nats = zip(*parts, strict=True)
        return torch.cat(logps), torch.cat(scored), torch.cat(nats) if entropy else None

    def records(
        self, policy: Policy, prompts: Sequence[Prompt], batch: RolloutBatch, count: int
    ) -> list[SampleRecord]:
        """``count`` completions of a window as a person reads them, inpainted ones first."""
        inpainted = batch.hint_mask.any(-1)
        order = sorted(
            ((p, g) for p in range(len(prompts)) for g in range(self.group_size)),
            key=lambda at: (not inpainted[at], at[1], at[0]),
        )
        return [
            SampleRecord(
                window=batch.window,
                prompt=prompts[p].problem.prompt,
                answer=prompts[p].problem.answer,
                pieces=_pieces(policy, batch.completions[p, g][batch.loss_mask[p, g]], batch.hint_mask[p, g]),
                reward=float(batch.rewards[p, g]),
                correct=bool(batch.correct[p, g]),
                inpainted=bool(inpainted[p, g]),
            )
            for p, g in order[:count]
        ]


def _pieces(policy: Policy, tokens: Tensor, is_hint: Tensor) -> list[tuple[str, bool]]:
    """Runs of hint and non-hint tokens as text.

    Each boundary is found by decoding prefixes, so that multi-token characters and the tokenizer's
    own spacing come out as in the whole text.
    """
    decode = partial(policy.tokenizer.decode, skip_special_tokens=True)
    ids, pieces, start, done = tokens.tolist(), [], 0, 0
    for i in range(1, len(ids) + 1):
        if i == len(ids) or is_hint[i] != is_hint[start]:
            text = decode(ids[:i])
            pieces.append((text[done:], bool(is_hint[start])))
            start, done = i, len(text)
    return pieces


def _metrics(
    first: Groups, groups: Groups, report: InterventionReport, batch: RolloutBatch, seconds: float
) -> dict[str, float]:
    """Scalars of one window. ``*_before`` are the policy's own, before anything was replaced."""
    metrics = {
        "reward": groups.rewards.mean(),
        "reward_before": first.rewards.mean(),
        "correct": groups.correct.float().mean(),
        "correct_before": first.correct.float().mean(),
        "all_wrong_before": first.all_wrong.float().mean(),
        "all_wrong_after": groups.all_wrong.float().mean(),
        "no_signal": (groups.rewards.amax(1) == groups.rewards.amin(1)).float().mean(),
        "replaced": report.replaced,
        "triggered": report.triggered,
        "resampled": report.sampled,
        "resampled_correct": report.correct,
        "hint_tokens": groups.hint_mask.sum() / groups.hint_mask.any(-1).sum().clamp(min=1),
        "length": batch.loss_mask.sum(-1).float().mean(),
        "completions": groups.cost.completions,
        "generated_tokens": groups.cost.tokens,
        "row_forwards": groups.cost.row_forwards,
        "seconds": seconds,
        **{f"reward/{name}": part.mean() for name, part in first.parts.items()},
    }
    return {name: float(value) for name, value in metrics.items()}

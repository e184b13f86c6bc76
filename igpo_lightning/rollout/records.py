"""A window as a person reads it, and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from ..models import Policy
from ..types import Prompt, RolloutBatch, SampleRecord
from .groups import Groups, InterventionReport


def sample_records(
    policy: Policy, prompts: Sequence[Prompt], batch: RolloutBatch, count: int
) -> list[SampleRecord]:
    """``count`` completions of a window, inpainted ones first."""
    inpainted = batch.hint_mask.any(-1)
    prompts_count, group = batch.rewards.shape
    order = sorted(
        ((p, g) for p in range(prompts_count) for g in range(group)),
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


def window_metrics(
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

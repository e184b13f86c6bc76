"""A window as a person reads it, and as curves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from ..models import Policy
from ..sampling.canvas import up_to_stop
from ..types import Prompt, RolloutBatch, SampleRecord
from .groups import Groups, InterventionReport


def sample_records(
    policy: Policy, prompts: Sequence[Prompt], batch: RolloutBatch, count: int
) -> list[SampleRecord]:
    """Completions of a window in a fixed mix: with hints right and wrong, and without them right and wrong.

    There are ⌊count / 4⌋ of each kind (at least one), fewer where the window has no more. The wrong ones
    with hints are second tries that failed, which entered no group.
    """
    share = max(1, count // 4)
    inpainted, completed = batch.hint_mask.any(-1), up_to_stop(batch.completions, policy.stop_ids)
    every = [(p, g) for g in range(batch.rewards.shape[1]) for p in range(batch.rewards.shape[0])]

    def read(at: tuple[int, int]) -> SampleRecord:
        tokens, hints = batch.completions[at][completed[at]], batch.hint_mask[at]
        return _record(
            policy, prompts[at[0]], batch.window, tokens, hints, batch.rewards[at], batch.correct[at]
        )

    def some(hinted: bool, correct: bool) -> list[SampleRecord]:
        fitting = (at for at in every if inpainted[at] == hinted and batch.correct[at] == correct)
        return list(map(read, islice(fitting, share)))

    return [*some(True, True), *batch.second_tries[:share], *some(False, True), *some(False, False)]


def failed_tries(
    policy: Policy, prompts: Sequence[Prompt], report: InterventionReport, window: int, count: int = 4
) -> tuple[SampleRecord, ...]:
    """``count`` hinted completions that came out wrong, so that a reader sees what hints do not help."""
    fresh = report.fresh
    if fresh is None or not report.triggered:
        return ()
    wrong = torch.nonzero(fresh.hint_mask.any(-1) & ~fresh.correct).tolist()[:count]
    ends = up_to_stop(fresh.completions, policy.stop_ids)
    return tuple(
        _record(
            policy,
            prompts[report.triggered[row]],
            window,
            fresh.completions[row, g][ends[row, g]],
            fresh.hint_mask[row, g],
            fresh.rewards[row, g],
            fresh.correct[row, g],
        )
        for row, g in wrong
    )


def _record(
    policy: Policy,
    prompt: Prompt,
    window: int,
    tokens: Tensor,
    hints: Tensor,
    reward: Tensor,
    correct: Tensor,
) -> SampleRecord:
    return SampleRecord(
        window=window,
        prompt=prompt.problem.prompt,
        answer=prompt.problem.answer,
        pieces=_pieces(policy, tokens, hints),
        reward=float(reward),
        correct=bool(correct),
        inpainted=bool(hints.any()),
        trace=prompt.problem.trace,
    )


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
    first: Groups, groups: Groups, report: InterventionReport, completed: Tensor, seconds: float
) -> dict[str, float]:
    """Scalars of one window. ``*_before`` are the policy's own, before anything was replaced.

    ``completed`` [P, G, C] bool is True up to and including the end of each completion.
    """
    metrics = {
        "reward": groups.rewards.mean(),
        "reward_before": first.rewards.mean(),
        "correct": groups.correct.float().mean(),
        "correct_before": first.correct.float().mean(),
        "all_wrong_before": first.all_wrong.float().mean(),
        "all_wrong_after": groups.all_wrong.float().mean(),
        "no_signal": (groups.rewards.amax(1) == groups.rewards.amin(1)).float().mean(),
        "replaced": report.replaced,
        "triggered": len(report.triggered),
        "resampled": report.sampled,
        "resampled_correct": report.correct,
        "hint_tokens": groups.hint_mask.sum().float() / groups.hint_mask.any(-1).sum().clamp(min=1),
        "length": completed.sum(-1).float().mean(),
        "completions": groups.cost.completions,
        "generated_tokens": groups.cost.tokens,
        "row_forwards": groups.cost.row_forwards,
        "seconds": seconds,
        **{f"reward/{name}": part.mean() for name, part in first.parts.items()},
    }
    return {name: float(value) for name, value in metrics.items()}

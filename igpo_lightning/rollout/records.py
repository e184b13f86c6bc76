"""A rollout as a person reads it, and as curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from ..models import Policy
from ..sample_record import SampleRecord
from ..types import Prompt, Rollout
from .interventions import Report
from .phases import Phases
from .resampler import Resampler


def sample_records(
    policy: Policy, prompts: Sequence[Prompt], rollout: Rollout, count: int
) -> list[SampleRecord]:
    """Completions of a rollout in a fixed mix: with hints right and wrong, and without them right and wrong.

    There are ⌊count / 4⌋ of each kind (at least one), fewer where the rollout has no more. The wrong ones
    with hints are second tries that failed, which entered no group.
    """
    share = max(1, count // 4)
    inpainted = rollout.hint_mask.any(-1)
    every = [(p, g) for g in range(rollout.rewards.shape[1]) for p in range(rollout.rewards.shape[0])]

    def some(hinted: bool, correct: bool) -> list[SampleRecord]:
        fitting = (at for at in every if inpainted[at] == hinted and rollout.correct[at] == correct)
        return [_record(policy, prompts[at[0]], rollout, at) for at in islice(fitting, share)]

    return [*some(True, True), *rollout.second_tries[:share], *some(False, True), *some(False, False)]


def failed_tries(
    policy: Policy, prompts: Sequence[Prompt], report: Report, index: int, count: int = 4
) -> tuple[SampleRecord, ...]:
    """``count`` hinted completions that came out wrong, so that a reader sees what hints do not help."""
    wrong = (
        _record(policy, prompts[which[row]], fresh, (row, g))
        for fresh, which in zip(report.fresh, report.of, strict=True)
        for row, g in torch.nonzero(fresh.hint_mask.any(-1) & ~fresh.correct).tolist()
    )
    return tuple(islice(wrong, count))


def _record(policy: Policy, prompt: Prompt, rollout: Rollout, at: tuple[int, int]) -> SampleRecord:
    """Completion ``at`` = (row, completion) of ``rollout``, which is one of ``prompt``'s."""
    completed, hints = rollout.completion_mask[at], rollout.hint_mask[at]
    advantages = rollout.advantages
    return SampleRecord(
        rollout=rollout.index,
        prompt=prompt.problem.prompt,
        answer=prompt.problem.answer,
        pieces=_pieces(policy, rollout.tokens[at][completed], hints),
        reward=float(rollout.rewards[at]),
        correct=bool(rollout.correct[at]),
        inpainted=bool(hints.any()),
        trace=prompt.problem.trace,
        advantage=float(advantages[at]) if advantages is not None and advantages.dim() == 2 else None,
        tokens=_texts(policy, rollout.tokens[at][completed].tolist()),
        columns={name: _numbers(value[completed]) for name, value in _columns(rollout, at)},
    )


def _columns(rollout: Rollout, at: tuple[int, int]) -> Iterator[tuple[str, Tensor]]:
    """(name, [C]) of each number that is known of the completion's tokens."""
    yield "step", rollout.step_map[at]
    yield "hint", rollout.hint_mask[at]
    if rollout.loss_mask is not None:
        yield "kept", rollout.loss_mask[at].any(0)
    if rollout.step_probability is not None:
        yield "probability", rollout.step_probability[at]
    for name, logps in (("old_logp", rollout.old_logps), ("ref_logp", rollout.ref_logps)):
        if logps is not None:
            yield name, logps[at].sum(0) / (logps[at] != 0).sum(0).clamp(min=1)  # 0: that draw has none
    if rollout.advantages is not None and rollout.advantages.dim() == 3:
        yield "advantage", rollout.advantages[at]


def _numbers(values: Tensor) -> list[float]:
    return [round(float(value), 4) if values.is_floating_point() else int(value) for value in values.tolist()]


def _texts(policy: Policy, ids: list[int]) -> list[str]:
    """Each token's own part of the text; a character of several tokens comes with its last one."""
    decode = partial(policy.tokenizer.decode, skip_special_tokens=True)
    texts, done = [], 0
    for i in range(1, len(ids) + 1):
        text = str(decode(ids[:i]))
        whole = i == len(ids) or not text.endswith("\ufffd")
        texts.append(text[done:] if whole else "")
        done = len(text) if whole else done
    return texts


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


def rollout_metrics(
    first: Rollout, rollout: Rollout, report: Report, entropy: Tensor, stop_ids: Sequence[int]
) -> dict[str, float]:
    """Scalars of one rollout, read from the device at once; docs/metrics.md explains each.

    Args:
        first: As sampled: ``*_before``, the rewards' terms and what is said of answers are its.
        rollout: The final groups.
        report: Of what was done to them.
        entropy: [] mean nats.
        stop_ids: Tokens that end a completion.
    """
    assert rollout.advantages is not None and rollout.loss_mask is not None  # the engine's last steps
    lengths = rollout.completion_mask.sum(-1)
    stops = torch.tensor(stop_ids, dtype=torch.long, device=rollout.tokens.device)
    ended = torch.isin(rollout.tokens, stops) & rollout.completion_mask
    metrics = {
        "reward": rollout.rewards.mean(),
        "reward_before": first.rewards.mean(),
        "correct": rollout.correct.float().mean(),
        "correct_before": first.correct.float().mean(),
        "all_wrong_before": first.all_wrong.float().mean(),
        "all_wrong_after": rollout.all_wrong.float().mean(),
        "no_signal": (rollout.rewards.amax(1) == rollout.rewards.amin(1)).float().mean(),
        "replaced": report.replaced,
        "triggered": len(report.triggered),
        "resampled": report.sampled,
        "resampled_correct": report.correct,
        "resampled_hinted": report.hinted,
        "hinted": rollout.hint_mask.any(-1).sum(),
        "hint_tokens": rollout.hint_mask.sum().float() / rollout.hint_mask.any(-1).sum().clamp(min=1),
        "length": lengths.float().mean(),
        **{f"reward/{name}": part.mean() for name, part in first.parts.items()},
        "reward_std": rollout.rewards.std(1).mean(),
        "pass_at_g": first.correct.any(1).float().mean(),
        "advantage_min": rollout.advantages.amin(),
        "advantage_max": rollout.advantages.amax(),
        "entropy": entropy,
        "completions/min_length": lengths.amin(),
        "completions/max_length": lengths.amax(),
        "completions/clipped_ratio": (~ended.any(-1)).float().mean(),
        "hint_gradient_share": _share(rollout.loss_mask & rollout.hint_mask.unsqueeze(2), rollout.loss_mask),
        **_answers(first),
    }
    options = {"dtype": torch.float64, "device": rollout.rewards.device}
    values = torch.stack([torch.as_tensor(value, **options) for value in metrics.values()])
    return dict(zip(metrics, values.tolist(), strict=True))


def costs(resampler: Resampler, phases: Phases, seconds: float) -> dict[str, float]:
    """Work and seconds of one rollout."""
    sampling, drawn = phases.seconds["sample"], max(1, resampler.drawn)
    return {
        **{name: float(value) for name, value in resampler.cost.items()},
        "seconds": seconds,
        "forwards_per_token": resampler.cost["row_forwards"] / drawn,
        **{f"time/{name}": value for name, value in phases.seconds.items()},
        "time/verify": resampler.verifying,
        "time/tokens_per_second": resampler.drawn / sampling if sampling else 0.0,
    }


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return part.sum() / whole.sum().clamp(min=1)


def _answers(first: Rollout) -> dict[str, Tensor]:
    """Variety of the stated answers, if the reward reads any."""
    if first.answers is None:
        return {}
    ordered = first.answers.sort(dim=1).values
    new = torch.cat([torch.ones_like(ordered[:, :1], dtype=torch.bool), ordered[:, 1:] != ordered[:, :-1]], 1)
    return {
        "distinct_answers": (new & (ordered >= 0)).sum(1).float().mean(),
        "unparsed": (first.answers < 0).float().mean(),
    }

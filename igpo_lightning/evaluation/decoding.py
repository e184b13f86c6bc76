"""Decode prompts and score the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..models import Policy
from ..sampling.canvas import attention_of, collate, completion_texts, up_to_stop
from ..sampling.lockstep import agree_any
from ..seeding import derive
from ..types import Prompt, Scores


@dataclass(frozen=True)
class Decoded:
    """One completion for each of N prompts."""

    texts: list[str]
    scores: Scores
    lengths: torch.Tensor  # [N] tokens, end-of-sequence included

    def means(self) -> dict[str, float]:
        return {
            "accuracy": self.scores.correct.float().mean().item(),
            "reward": self.scores.total.mean().item(),
            "length": self.lengths.float().mean().item(),
        }


@torch.no_grad()
def decode(policy: Policy, sampler, reward, prompts: Sequence[Prompt], *, seed: int = 0) -> Decoded:
    """Complete each prompt once with ``sampler`` and judge it with ``reward``."""
    device = next(policy.parameters()).device
    tensors = collate(prompts, policy.pad_id, device)
    blank = torch.full((len(prompts), sampler.length), policy.mask_id, device=device)
    seeds = [derive(seed, "decode", p.problem.id) for p in prompts]
    samples = sampler(
        policy,
        torch.cat([tensors.ids, blank], dim=1),
        attention_of(tensors.mask, sampler.length),
        seeds,
        keep_going=lambda mine: agree_any(mine, device),
    )
    completions = samples.tokens[:, -sampler.length :]
    lengths = up_to_stop(completions, policy.stop_ids).sum(-1)
    texts = completion_texts(policy, completions)
    return Decoded(texts, reward(texts, [p.problem.answer for p in prompts]), lengths.cpu())

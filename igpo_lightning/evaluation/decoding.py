"""Decode prompts, and score the texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..models import Policy
from ..sampling.canvas import collate
from ..sampling.generate import generate
from ..seeding import derive
from ..types import Problem, Prompt, Scores

_NOTHING = Prompt(Problem("", "", "", ""), ())


@dataclass(frozen=True)
class Completions:
    """One completion for each of N prompts."""

    texts: list[str]
    lengths: torch.Tensor  # [N] tokens, the one that ends it included
    ended: torch.Tensor  # [N] bool, False where the canvas was filled without a stop token


@dataclass(frozen=True)
class Decoded:
    """Completions, judged."""

    texts: list[str]
    scores: Scores
    lengths: torch.Tensor  # [N] tokens, the one that ends it included

    def means(self) -> dict[str, float]:
        return {
            "accuracy": self.scores.correct.float().mean().item(),
            "reward": self.scores.total.mean().item(),
            "length": self.lengths.float().mean().item(),
        }


@torch.no_grad()
def complete(policy: Policy, sampler, prompts: Sequence[Prompt], seeds: Sequence[int]) -> Completions:
    """Complete each prompt once; of prompts of one length, nothing is padded.

    On several processes all of them must call, be it with no prompts.
    """
    device = next(policy.parameters()).device
    # Without prompts of its own a process only keeps the others company: any canvas will do.
    tensors = collate(prompts or [_NOTHING], policy.pad_id, device)
    which = torch.arange(len(prompts), dtype=torch.long, device=device)
    canvas = torch.full((len(prompts), sampler.length), policy.mask_id, dtype=torch.long, device=device)
    done = generate(policy, sampler, tensors, which, canvas, seeds)
    ended = torch.isin(done.tokens, torch.tensor(policy.stop_ids, dtype=torch.long, device=device)).any(-1)
    return Completions(done.texts, done.completion_mask.sum(-1).cpu(), ended.cpu())


def decode(policy: Policy, sampler, reward, prompts: Sequence[Prompt], *, seed: int = 0) -> Decoded:
    """Complete each prompt once with ``sampler``, and judge it with ``reward``."""
    seeds = [derive(seed, "decode", p.problem.id) for p in prompts]
    done = complete(policy, sampler, prompts, seeds)
    return Decoded(done.texts, reward([p.problem for p in prompts], done.texts), done.lengths)

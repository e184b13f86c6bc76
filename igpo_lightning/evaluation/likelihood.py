"""Estimates of a response's log-likelihood; a masked diffusion model has no exact one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import ConfigError, positive_int
from ..models import Policy
from ..sampling import BlockwiseSampler
from ..seeding import torch_rng


@torch.no_grad()
def log_likelihood(
    policy: Policy,
    prompt: Sequence[int],
    response: Sequence[int],
    *,
    samples: int = 128,
    batch_size: int = 32,
    seed: int = 0,
) -> float:
    """A lower bound on log p(response | prompt) in nats, estimated by Monte Carlo.

    The mean over ``samples`` draws of L/l · Σ log p(token | prompt, the rest) over l masked tokens of the
    L, where l is uniform on 1..L and the masked tokens are drawn without repetition (arXiv 2502.09992,
    section 2.4, equation 6). The l are spread evenly over 1..L rather than drawn one by one, which
    leaves the mean as it is and lowers its variance.

    Args:
        prompt, response: Token ids; the response has at least one.
        samples: The paper takes 128; responses of one token need a single one, which is exact.
        batch_size: Most draws in one model call.
        seed: With equal seeds, responses of one length are scored under the same masks, so that
            differences between them are less noisy.

    Raises:
        ConfigError: The policy is block-causal.
    """
    positive_int("samples", samples)
    if getattr(policy, "attention", None) is not None:
        raise ConfigError(
            "model.path: a block-causal model gives no such bound, as it reads a block after whole ones: "
            "take tasks that generate"
        )
    device = next(policy.parameters()).device
    ids, width = torch.tensor([*prompt, *response], dtype=torch.long, device=device), len(response)
    masks = _masks(width, 1 if width == 1 else samples, seed).to(device)
    total = 0.0
    for masked in masks.split(positive_int("batch_size", batch_size)):
        positions = torch.zeros(len(masked), len(ids), dtype=torch.bool, device=device)
        positions[:, -width:] = masked
        tokens = ids.expand_as(positions)
        scores = policy(
            tokens.masked_fill(positions, policy.mask_id), None, positions, targets=tokens[positions]
        )
        weight = (width / masked.sum(-1, keepdim=True).double()).expand_as(masked)[masked]
        total += float((scores.logps.double() * weight).sum())
    return total / len(masks)


@torch.no_grad()
def is_greedy(policy: Policy, prompt: Sequence[int], response: Sequence[int]) -> bool:
    """True if greedy decoding of a canvas of its length, one token a step, gives ``response``."""
    width = len(response)
    device = next(policy.parameters()).device
    canvas = torch.tensor([[*prompt, *[policy.mask_id] * width]], dtype=torch.long, device=device)
    filled = BlockwiseSampler(width, width, width)(policy, canvas, None, [0]).tokens[0, -width:]
    return filled.tolist() == list(response)


def _masks(width: int, samples: int, seed: int) -> Tensor:
    """[samples, width] bool: which tokens each draw masks."""
    rng = torch_rng(seed, "likelihood", width)
    options = {"dtype": torch.float32, "device": "cpu"}
    spread = (
        torch.arange(samples, **options) + torch.rand(1, generator=rng, **options)
    ) / samples  # [samples] in [0, 1)
    count = (spread * width).long().clamp(max=width - 1) + 1
    rank = torch.rand(samples, width, generator=rng, **options).argsort(-1).argsort(-1)
    return rank < count[:, None]

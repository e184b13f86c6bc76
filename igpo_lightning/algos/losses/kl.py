"""Estimates of KL(policy || other) from tokens that the policy drew (http://joschu.net/blog/kl-approx.html)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .reduce import mean_over_tokens
from .watching import MOST


def _k1(difference: Tensor) -> Tensor:
    """log p - log q: unbiased, may be negative; on-policy its gradient averages to 0."""
    return -difference


def _k2(difference: Tensor) -> Tensor:
    """(log p - log q)² / 2: biased; its gradient on-policy is that of the KL (ESPO, arXiv 2512.03759)."""
    return difference**2 / 2


def _k3(difference: Tensor) -> Tensor:
    """q/p - log(q/p) - 1: unbiased and never negative."""
    return difference.exp() - difference - 1


KINDS: dict[str, Callable[[Tensor], Tensor]] = {"k1": _k1, "k2": _k2, "k3": _k3}
"""``kl_estimator``: log q - log p → estimate."""


def token_kl(kind: str, logps: Tensor, other: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """[P, G, D, C]: each token's own."""
    return KINDS[kind]((other - logps).masked_fill(~mask, 0.0).clamp(-MOST, MOST))


def sequence_kl(kind: str, logps: Tensor, other: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """[P, G, 1, 1]: n · k(mean difference) of a completion's n kept tokens, as a mean over these.

    With ``k2`` it is (ELBO - ELBO_ref)² / 2n, as ESPO's code has it.
    """
    difference = mean_over_tokens((other - logps).masked_fill(~mask, 0.0).clamp(-MOST, MOST), mask, weight)
    return (KINDS[kind](difference) * mask.any(2).sum(-1))[:, :, None, None]


def step_kl(kind: str, logps: Tensor, other: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """[P, G, D, 1]: of all kept tokens of a draw together, as EGSPO's code has it."""
    difference = (other - logps).masked_fill(~mask, 0.0).sum(-1, keepdim=True)
    return KINDS[kind](difference.clamp(-MOST, MOST))


LEVELS = {"token": token_kl, "sequence": sequence_kl, "step": step_kl}


def k3(logps: Tensor, ref: Tensor, mask: Tensor) -> Tensor:
    """Unbiased, non-negative estimate of KL(policy || reference) per sampled token."""
    return token_kl("k3", logps, ref, mask, None)

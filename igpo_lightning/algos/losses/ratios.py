"""Importance ratios: (log p - log p_old [P, G, D, C], mask, weight) → ratios that broadcast to that shape."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .reduce import mean_over_tokens


def token_ratio(difference: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """GRPO: each token has its own ratio exp(log p - log p_old). [P, G, D, C]."""
    return difference.exp()


def sequence_ratio(difference: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """One ratio a completion: exp(mean over kept tokens of log p - log p_old), as GSPO
    (arXiv 2507.18071, eq. 7) and IGPO (section 4.1) have it. [P, G, 1, 1].

    With an ELBO's weights the mean is that of ELBO - ELBO_old, over the tokens (ESPO, GDPO).
    """
    return mean_over_tokens(difference, mask, weight)[:, :, None, None].exp()


def step_ratio(difference: Tensor, mask: Tensor, weight: Tensor | None) -> Tensor:
    """One ratio a draw, that of all its kept tokens together: exp(sum of log p - log p_old). [P, G, D, 1].

    Where a draw replays one denoising step it is the ratio of that step's probability (EGSPO).
    """
    return difference.masked_fill(~mask, 0.0).sum(-1, keepdim=True).exp()


RATIOS: dict[str, Callable[[Tensor, Tensor, Tensor | None], Tensor]] = {
    "token": token_ratio, "sequence": sequence_ratio, "step": step_ratio,
}  # fmt: skip

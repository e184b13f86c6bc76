"""Preferences within a group, on differences of ELBOs (VRPO, arXiv 2505.19223; DPO, arXiv 2305.18290)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from ...checks import positive
from .base import LossInputs, Share
from .bounds import elbo


class Preference:
    """-mean over pairs of log σ(β [(B_w - B_w,ref) - (B_l - B_l,ref)]), B the ELBO of a completion.

    VRPO learns from given pairs. Here they are all pairs (w, l) of a group with rewards r_w > r_l, so that it
    trains on rollouts; groups without a pair count as 0. Policy and reference see the same masks, and several
    levels have one mask each: two of the paper's three ways to less variance; the third, many levels, is the
    estimator's. The paper's B is the whole ELBO; DARE's code divides it by the canvas's width.

    Args:
        beta: β, above 0.
    """

    needs_reference = True
    takes_token_advantages = False

    def __init__(self, beta: float = 0.2):
        self.beta = positive("algo.loss.beta", beta)

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor | Share]]:
        gained = elbo(x.logps, x.mask, x.weight) - elbo(x.reference, x.mask, x.weight)  # [P, G]
        better = (x.rewards[:, :, None] > x.rewards[:, None]).to(gained.dtype)  # [P, G, G]
        margin = gained[:, :, None] - gained[:, None]
        pairs = better.sum((1, 2)).clamp(min=1)
        loss = -((logsigmoid(self.beta * margin) * better).sum((1, 2)) / pairs).mean()
        agreed = Share(((margin > 0) * better).sum().detach(), better.sum())
        return loss, {"pairs": better.sum((1, 2)).mean(), "agreed": agreed}

"""Log-likelihoods weighted by softmaxes over the group (wd1, arXiv 2507.08838; DMPO, arXiv 2510.08233)."""

from __future__ import annotations

from torch import Tensor

from ...checks import not_negative, positive
from .base import LossInputs
from .bounds import elbo
from .reduce import mean_over_tokens


class GroupSoftmax:
    """-Σ_i (w⁺_i - ν w⁻_i) · l_i over a group, w± = softmax(s ± A/τ) without gradient: no ratio, no clip.

    wd1 has s = 0, τ = 1 and l the sum of a completion's log-probs. DMPO has s = ELBO_ref - ELBO_old, which
    makes w⁺ the weights of the reward-tilted reference, a small τ, and l the mean. A group whose advantages
    are all equal has no gradient if ν = 1 and s = 0.

    In wd1's code the softmax goes over a process's batch, which holds one group. Advantages differ from
    rewards by a constant of the group, which a softmax does not see; a division by the deviation it does.

    Args:
        temperature: τ, above 0 (DMPO's α).
        negative: ν, weight of the second softmax; 0: likelihood of good completions alone.
        tilted: Whether s is ELBO_ref - ELBO_old; needs a reference.
        per_token: Whether l is the mean over tokens, or their sum.
    """

    takes_token_advantages = False

    def __init__(
        self, temperature: float = 1.0, negative: float = 1.0, tilted: bool = False, per_token: bool = False
    ):
        self.temperature = positive("algo.loss.temperature", temperature)
        self.negative = not_negative("algo.loss.negative", negative)
        self.tilted, self.per_token = tilted, per_token

    @property
    def needs_reference(self) -> bool:
        return self.tilted

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        tilt = 0.0
        if self.tilted:
            tilt = elbo(x.reference, x.mask, x.weight) - elbo(x.old, x.mask, x.weight)
        drive = x.per_completion() / self.temperature
        up, down = (tilt + drive).softmax(1), (tilt - drive).softmax(1)
        reduce = mean_over_tokens if self.per_token else elbo
        coefficient = up - self.negative * down
        loss = -(coefficient * reduce(x.logps, x.mask, x.weight)).sum(1).mean()
        # 1 where all weigh the same, 1/G where one has all of the weight.
        effective = 1 / up.square().sum(1) / up.shape[1]
        return loss, {"weight_max": coefficient.abs().amax(), "effective_share": effective.mean()}

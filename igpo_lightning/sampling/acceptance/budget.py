"""The τ-budget."""

from __future__ import annotations

from torch import Tensor

from ...checks import ConfigError
from .base import longest_run, surest


class Budget:
    """Candidates above a probability, the surest first, until their doubts add up to a budget.

    Of those whose probability p is above ``threshold``, as many as keep Σ (1 - p) within ``tokens`` × (1 -
    ``threshold``), and always the surest (SLIM-RL's ``tau_budget_dynamic``, whose code also writes as many as
    the schedule would; here one is enough).

    Args:
        threshold: Above 0 and below 1.
        tokens: How many tokens just at the threshold one step may write; above 0.
    """

    needs_entropy, needs_probability = False, True

    def __init__(self, threshold: float = 0.9, tokens: float = 1.0):
        if not 0 < threshold < 1:
            raise ConfigError(f"sampler.acceptance.threshold={threshold}: must be above 0 and below 1")
        if tokens <= 0:
            raise ConfigError(f"sampler.acceptance.tokens={tokens}: must be above 0")
        self.threshold, self.tokens = threshold, tokens

    def most_steps(self, steps: int, width: int) -> int:
        return width

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        sure, order = confidence.sort(dim=-1, descending=True, stable=True)
        probability = sure.exp()
        spent = (1 - probability).cumsum(-1)
        within = (probability > self.threshold) & (spent <= self.tokens * (1 - self.threshold))
        return surest(confidence, masked, longest_run(order, within))

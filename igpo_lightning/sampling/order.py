"""The order of unmasking: a number for each candidate, the higher the sooner it is written."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .distribution import Distribution


class Order(Protocol):
    """A rule of order.

    Attributes:
        log_probability: Whether its numbers are log-probabilities, as thresholds on a probability need.
        needs_uniform: Whether it wants a random number for each candidate.
    """

    log_probability: bool
    needs_uniform: bool

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        """[N] float64 confidences of the tokens ``drawn`` [N]; ``uniform`` [N] in [0, 1), or None."""
        ...


class DrawnProbability:
    """The log-probability, at temperature 1, of the drawn token (LLaDA, arXiv 2502.09992, section 2.4).

    At temperatures above 0 it prefers columns whose draw happened to be a likely token, so what a canvas
    fills up with is not a draw from the model column by column; the rules below look at the column alone.
    """

    log_probability, needs_uniform = True, False

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        return step.log_probability(drawn)


class MaxProbability:
    """The log-probability of the column's likeliest token, whatever was drawn (Dream's ``maskgit_plus``)."""

    log_probability, needs_uniform = True, False

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        return step.log_probability(step.top[1])


class Margin:
    """The lead of the likeliest token over the next (arXiv 2502.06768; Dream's ``topk_margin``)."""

    log_probability, needs_uniform = False, False

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        return step.margin()


class LeastEntropy:
    """Minus the entropy of the column (Dream's ``entropy``)."""

    log_probability, needs_uniform = False, False

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        return -step.entropy()


class RandomOrder:
    """Any order, drawn from the row's seed (LLaDA's ``remasking='random'``)."""

    log_probability, needs_uniform = False, True

    def __call__(self, step: Distribution, drawn: Tensor, uniform: Tensor | None) -> Tensor:
        assert uniform is not None  # needs_uniform
        return uniform.to(torch.float64)

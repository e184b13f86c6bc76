"""The order of unmasking: a number for each candidate, the higher the sooner it is written."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Order(Protocol):
    def __call__(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """[N] confidences of the tokens ``drawn`` [N] under ``logits`` [N, V] at temperature 1."""


class DrawnProbability:
    """The log-probability of the token that was drawn (LLaDA, arXiv 2502.09992, section 2.4)."""

    def __call__(self, logits: Tensor, drawn: Tensor) -> Tensor:
        return logits.log_softmax(-1).gather(-1, drawn[:, None])[:, 0]

"""LLaDA's schedule."""

from __future__ import annotations

from torch import Tensor

from .base import surest


class Quota:
    """LLaDA's schedule: of r empty columns the ⌈r / left⌉ most confident.

    A block of n masked positions and s steps so gets ⌊n/s⌋ tokens a step, one more in the first n mod s.
    """

    needs_entropy = needs_probability = False
    exact = True

    def most_steps(self, steps: int, width: int) -> int:
        return steps

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        return surest(confidence, masked, count=-(-masked.sum(-1, keepdim=True) // left))

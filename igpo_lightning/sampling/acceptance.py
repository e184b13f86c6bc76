"""Acceptance: which of a block's candidates are written at a step.

A rule sees one step of R rows and W columns: ``confidence`` [R, W], higher is surer, -inf where nothing is
empty; ``entropy`` [R, W] in nats, or None unless ``needs_entropy``; ``masked`` [R, W] bool, what is empty;
``left``, the steps that the schedule still has for this block, this one included (0 or fewer where a rule
takes more steps than it). It returns [R, W] bool: at least one of each row's empty columns, and no other.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Acceptance(Protocol):
    needs_entropy: bool

    def most_steps(self, steps: int, width: int) -> int:
        """Most steps that a block of ``width`` columns can take where the schedule has ``steps``."""

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor: ...


class Quota:
    """LLaDA's schedule: of r empty columns the ⌈r / left⌉ most confident.

    A block of n masked positions and s steps so gets ⌊n/s⌋ tokens a step, one more in the first n mod s.
    """

    needs_entropy = False

    def most_steps(self, steps: int, width: int) -> int:
        return steps

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor:
        count = -(-masked.sum(-1, keepdim=True) // left)
        rank = confidence.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        return masked & (rank < count)

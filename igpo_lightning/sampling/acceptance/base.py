"""Acceptance: which of a block's candidates are written at a step.

A rule sees one step of R rows and W columns: ``confidence`` [R, W] float64, higher is surer, -inf where
nothing is empty, log-probabilities if the order of unmasking gives such; ``entropy`` [R, W] in nats, or None
unless ``needs_entropy``; ``masked`` [R, W] bool, what is empty; ``left``, the steps that the schedule still
has for this block, this one included (0 or fewer where a rule takes more steps than it). It returns [R, W]
bool: at least one of each row's empty columns, and no other.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Acceptance(Protocol):
    """A rule of acceptance.

    Attributes:
        needs_entropy: Whether it wants each column's entropy.
        needs_probability: Whether it reads ``confidence`` as log-probabilities. May be left out if not.
        exact: Whether it keeps the schedule that fast rules are compared with. May be left out if not.
    """

    needs_entropy: bool

    def most_steps(self, steps: int, width: int) -> int:
        """Most steps that a block of ``width`` columns can take where the schedule has ``steps``."""
        ...

    def __call__(self, confidence: Tensor, entropy: Tensor | None, masked: Tensor, left: int) -> Tensor: ...


def surest(
    confidence: Tensor, masked: Tensor, allowed: Tensor | None = None, count: Tensor | int = 1
) -> Tensor:
    """[R, W] bool: each row's ``count`` most confident empty columns, and the ``allowed`` ones."""
    rank = confidence.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    least = rank < count
    return masked & (least if allowed is None else least | allowed)


def longest_run(order: Tensor, within: Tensor) -> Tensor:
    """[R, W] bool of columns: those that come in ``order`` [R, W] before the first False of ``within``."""
    run = within.cumprod(-1).bool()
    return torch.zeros_like(run).scatter(-1, order, run)

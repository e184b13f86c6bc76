"""Means that never see a masked token, and the normalisations that papers disagree about."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .base import LossInputs


def sum_over_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """[P, G, D, C] → [P, G]: sum over each completion's own kept tokens.

    Masked values are replaced before the sum, so that a NaN or an infinity there cannot leak.
    """
    return values.masked_fill(~mask, 0.0).sum(2).sum(-1)


def mean_over_tokens(values: Tensor, mask: Tensor, weight: Tensor | None = None) -> Tensor:
    """[P, G, D, C] → [P, G]: (weighted) mean over each completion's own kept tokens; 0 where it keeps none.

    The divisor is the number (or weight) of the kept tokens, never the padded width.
    """
    if weight is None:
        return sum_over_tokens(values, mask) / mask.sum((2, 3)).clamp(min=1)
    whole = sum_over_tokens(weight, mask)
    return sum_over_tokens(values * weight, mask) / whole.masked_fill(whole == 0, 1.0)


def _grpo(values: Tensor, x: LossInputs) -> Tensor:
    """Mean over tokens, then over completions: each weighs the same, however long (arXiv 2402.03300)."""
    return mean_over_tokens(values, x.mask, x.weight).mean()


def _dapo(values: Tensor, x: LossInputs) -> Tensor:
    """Sum over tokens by the tokens of the whole update, or their weight (DAPO, arXiv 2503.14476, 3.3)."""
    if x.update_weight is None:
        return _total(values, x) * x.parts / x.update_tokens.clamp(min=1)
    return _total(values, x) * x.parts / x.update_weight.masked_fill(x.update_weight == 0, 1.0)


def _dr_grpo(values: Tensor, x: LossInputs) -> Tensor:
    """Sum over tokens by the canvas's width, then the mean over completions (arXiv 2503.20783)."""
    return _total(values, x) / x.mask[:, :, 0].numel()


def _total(values: Tensor, x: LossInputs) -> Tensor:
    return sum_over_tokens(values if x.weight is None else values * x.weight, x.mask).sum()


NORMALISATIONS: dict[str, Callable[[Tensor, LossInputs], Tensor]] = {
    "grpo": _grpo, "dapo": _dapo, "dr_grpo": _dr_grpo,
}  # fmt: skip
"""``loss_type``: (values [P, G, D, C], inputs) → scalar. The names are TRL's."""

"""Means that never see a masked token."""

from __future__ import annotations

from torch import Tensor


def mean_over_tokens(values: Tensor, mask: Tensor) -> Tensor:
    """[..., C] → [...]: mean over each completion's own kept tokens; 0 where it keeps none.

    Masked values are replaced before the sum, so that a NaN or an infinity there cannot leak, and the
    divisor is the number of kept tokens, never the padded width.
    """
    return values.masked_fill(~mask, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)

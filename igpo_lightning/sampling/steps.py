"""A denoising step, as it is told to whoever watches a canvas being filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """The tokens that one step wrote in R rows of the open block, which is W columns wide.

    Attributes:
        index: Of the step, as in a step map.
        rows: [R] int64, rows of the canvas that had something to write.
        columns: Columns of the block in the canvas.
        written: [R, W] bool, True where this step wrote.
        ids: [R, W] int64, the drawn tokens; they count where ``written`` is True.
        probability: [R, W] float64, of the drawn tokens at temperature 1, whatever the order went by.
    """

    index: int
    rows: Tensor
    columns: slice
    written: Tensor
    ids: Tensor
    probability: Tensor

    def within(self, rows: Tensor, start: int) -> Step:
        """The same step in a larger batch of completions.

        Args:
            rows: [B] int64, the numbers there of this call's rows.
            start: Column at which completions begin in this call's canvas.
        """
        columns = slice(self.columns.start - start, self.columns.stop - start)
        return replace(self, rows=rows[self.rows], columns=columns)


OnStep: TypeAlias = Callable[[Step], None]

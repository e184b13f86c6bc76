"""Batches of canvases: rows of like length together, as many at a time as fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ..checks import ConfigError, positive_int

_Result = TypeVar("_Result")


class RowBudget:
    """Size of one call of the sampler, in canvases.

    Args:
        rows: A number; None for all; "auto" for as many columns as fit, which is found by trying: when memory
            ends, the call is made again with half of them, and so are later ones.
        name: Config key in errors.

    Attributes:
        columns: Most columns of a call (rows × the longest), as far as they have been found; None for any.
    """

    def __init__(self, rows: int | str | None = None, name: str = "algo.rows_per_forward"):
        self.auto = rows == "auto"
        self.rows = None if self.auto or rows is None else positive_int(name, rows)
        self.name = name
        self.columns: int | None = None

    def count(self, lengths: list[int]) -> int:
        """Number of the first rows that make a call; their canvases have these ``lengths``, longest first."""
        most = len(lengths) if self.rows is None else min(self.rows, len(lengths))
        return most if self.columns is None else max(1, min(most, self.columns // max(lengths[0], 1)))

    def calls(self, rows: int) -> int:
        """Number of calls that ``rows`` rows take.

        Raises:
            ConfigError: Memory decides that, and other processes have to know it before.
        """
        if self.auto:
            raise ConfigError(f"{self.name}=auto: not with weights that ZeRO-3 or FSDP shards; set a number")
        return -(-rows // (self.rows or max(1, rows)))

    def run(
        self, rows: Tensor, lengths: list[int], call: Callable[[Tensor], _Result]
    ) -> list[tuple[Tensor, _Result]]:
        """``call`` on slices of ``rows`` [N], in their order; each slice and its result.

        Args:
            rows: Row numbers, longest canvas first.
            lengths: N columns of their canvases.
            call: Row numbers of a slice to anything.

        Raises:
            ConfigError: Memory ended, and the number of rows is given or is 1.
        """
        done, at = [], 0
        while at < len(rows):
            size = self.count(lengths[at:])
            part = rows[at : at + size]
            try:
                done.append((part, call(part)))
            except torch.OutOfMemoryError as error:
                self._shrink(size, lengths[at], error)
                continue
            at += size
        return done

    def _shrink(self, size: int, length: int, error: torch.OutOfMemoryError) -> None:
        if size == 1:
            raise ConfigError(
                f"sampler.length: the GPU's memory ended with one canvas of {length} columns: {_first(error)}"
            ) from error
        if not self.auto:
            raise ConfigError(
                f"{self.name}={self.rows}: the GPU's memory ended while {size} canvases of {length} "
                f"columns were sampled: {_first(error)}; set it to less, or to auto"
            ) from error
        self.columns = size * length // 2
        torch.cuda.empty_cache()


def _first(error: Exception) -> str:
    return str(error).split(". ")[0]

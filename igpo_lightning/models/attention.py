"""Masks of attention: which columns of a canvas see which."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checks import ConfigError, positive_int


def blocks_of(config: Any) -> BlockCausal | None:
    """The mask of a network whose config has a ``block_size``; None: all columns see all.

    Raises:
        ConfigError: Its kernels take no mask.
    """
    if (block := getattr(config, "block_size", None)) is None:
        return None
    if "flash" in str(config._attn_implementation):
        raise ConfigError(
            f"model.load.attn_implementation=flash_attention_2: has no mask for blocks of {block}: take sdpa"
        )
    return BlockCausal(block)


class BlockCausal:
    """A column sees its own block and all before it (BD3-LM, arXiv 2503.09573; SDAR, arXiv 2510.06303).

    Blocks are counted from the right end of the canvas, as completions all end there: a completion of whole
    blocks is cut as its sampler cuts it, whatever its prompt's length, and the prompt's first block may be a
    shorter one. (SDAR's own sampler counts from the prompt's first token, and lets a completion begin
    within a block; both agree where the prompt is of whole blocks. TraceRL counts as it is done here.)

    Args:
        block: Columns of a block.
    """

    def __init__(self, block: int):
        self.block = positive_int("block_size", block)

    def mask(
        self, attention: Tensor | None, length: int, device: torch.device, columns: Tensor | None = None
    ) -> Tensor:
        """[B or 1, 1, W, L] bool, which of the L columns each of W ``columns`` [W] (None: all of them) sees.

        Padding is seen by nobody but itself: a row of a mask must not be empty.

        Args:
            attention: [B, L] bool, False on padding; None when nothing is padded.
            length: L.
            device: Of the mask.
            columns: Those that run.
        """
        every = torch.arange(length, dtype=torch.long, device=device)
        mine = every if columns is None else columns
        number = torch.div(every - length, self.block, rounding_mode="floor")
        seen = (number[mine, None] >= number[None])[None, None]
        if attention is None:
            return seen
        return (seen & attention[:, None, None, :]) | (mine[:, None] == every)

    def check(self, length: int, block_length: int, cache: str = "none") -> None:
        """Refuse a sampler whose blocks do not lie within the model's.

        Raises:
            ConfigError: It says which lengths do.
        """
        within = self.block % block_length == 0 and (cache == "none" or block_length == self.block)
        if not within or length % self.block:
            raise ConfigError(
                f"sampler.block_length={block_length}, sampler.length={length}: the model sees blocks of "
                f"{self.block}: give sampler.block_length={self.block} and a multiple of it as sampler.length"
            )

"""Which tokens of a gold trace are written into a canvas (IGPO, arXiv 2509.10396, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import fraction, interval
from ..seeding import python_rng


class ChunkPlacer:
    """Cut a trace into chunks of random length and write a random subset of them.

    A trace of N chunks gives ⌊ratio · N⌋ hints. Token i of the trace lands in column i of the
    completion, as it would stand in a completion that reproduces the trace.

    Args:
        chunk: (shortest, longest) chunk length in tokens, drawn uniformly; the paper's is (5, 10).
    """

    def __init__(self, chunk: Sequence[int] = (5, 10)):
        self.shortest, self.longest = (
            int(v) for v in interval("algo.inpaint.placer.chunk", chunk, 1, 10_000)
        )

    def __call__(
        self, trace: Sequence[int], width: int, ratio: float, seed: int, mask_id: int
    ) -> tuple[Tensor, Tensor]:
        """Place one completion's hints.

        Args:
            trace: Hint ids; ``mask_id`` marks positions that must stay empty (the final answer).
            width: C, columns of the completion.
            ratio: Share of chunks to write, in [0, 1].
            seed: Identity seed of this completion.

        Returns:
            (canvas [C] int64 with ``mask_id`` where empty, is_hint [C] bool).
        """
        fraction("algo.inpaint.ratio", ratio)
        rng = python_rng(seed, "chunks")
        chunks = self.cut(min(len(trace), width), rng)
        canvas = torch.full((width,), mask_id, dtype=torch.long, device="cpu")
        for start, stop in rng.sample(chunks, int(ratio * len(chunks))):
            canvas[start:stop] = torch.tensor(trace[start:stop], dtype=torch.long, device="cpu")
        return canvas, canvas != mask_id

    def cut(self, length: int, rng) -> list[tuple[int, int]]:
        """Consecutive [start, stop) chunks that cover ``length`` tokens; the last may be short."""
        chunks, start = [], 0
        while start < length:
            stop = min(start + rng.randint(self.shortest, self.longest), length)
            chunks.append((start, stop))
            start = stop
        return chunks

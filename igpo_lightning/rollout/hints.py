"""Choice of the gold trace's tokens that a canvas is given (IGPO, arXiv 2509.10396, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..checks import choice, interval
from ..seeding import python_rng
from .resampler import Resampler
from .spans import Span, Whole


class Hints(Protocol):
    """Canvases for new completions."""

    def can_help(self, p: int, resampler: Resampler) -> bool:
        """True if there is anything to write for prompt ``p``."""
        ...

    def __call__(
        self, which: Sequence[int], count: int, resampler: Resampler, purpose: str
    ) -> tuple[Tensor, Tensor]:
        """[P', count, C] canvas and hint mask of new completions for the prompts ``which``."""
        ...


class NoHints:
    """Empty canvases."""

    def can_help(self, p: int, resampler: Resampler) -> bool:
        return True

    def __call__(
        self, which: Sequence[int], count: int, resampler: Resampler, purpose: str
    ) -> tuple[Tensor, Tensor]:
        return resampler.blank(len(which), count)


_CONTENT = {"trace": "hint", "answer": "response"}
"""Fields of a :class:`~igpo_lightning.types.Prompt`."""


class Chunks:
    """Cut a trace into chunks of random length and write a random subset of them.

    A trace of N chunks gives ⌊ratio · N⌋ hints. Token i of the trace lands in column i of the
    completion, as it would stand in a completion that reproduces the trace.

    Args:
        ratio: (lowest, highest) share η of chunks to write, drawn per completion; one number fixes it.
        chunk: (shortest, longest) chunk length in tokens, drawn uniformly; the paper's is (5, 10).
        content: Where hints are cut from: the "trace" without what tells its answer, or the trace with
            its "answer", whose copies are rewarded for nothing.
        stretch: Spread the chunks over the canvas instead, as the published code does: see
            :func:`stretched`. The trace is then cut at the canvas less its last 30 columns.
        span: Part of ``ratio`` that a problem has now; None: all of it.
    """

    def __init__(
        self,
        ratio: Sequence[float] | float = (0.2, 0.6),
        chunk: Sequence[int] = (5, 10),
        content: str = "trace",
        stretch: bool = False,
        span: Span | None = None,
    ):
        self.span = span or Whole()
        self.low, self.high = interval("algo.inpaint.ratio", ratio, 0.0, 1.0)
        self.shortest, self.longest = (int(v) for v in interval("algo.inpaint.chunk", chunk, 1, 10_000))
        self.field = _CONTENT[choice("algo.inpaint.content", content, *_CONTENT)]
        self.stretch = stretch
        self.least_width = _LEFT_FREE + 1 if stretch else 1  # C of a canvas that can hold a hint

    def can_help(self, p: int, resampler: Resampler) -> bool:
        # Without a trace there is nothing to write, and the group stays as GRPO has it.
        return any(token != resampler.mask_id for token in getattr(resampler.prompts[p], self.field))

    def __call__(
        self, which: Sequence[int], count: int, resampler: Resampler, purpose: str
    ) -> tuple[Tensor, Tensor]:
        canvas, hint_mask = resampler.blank(len(which), count)
        for row, p in enumerate(which):
            trace = getattr(resampler.prompts[p], self.field)
            low, high = self.span(self.low, self.high, p, resampler)
            for g in range(count):
                seed = resampler.seed("place" if purpose == "inpaint" else f"place-{purpose}", p, g)
                ratio = python_rng(seed, "ratio").uniform(low, high)
                canvas[row, g], hint_mask[row, g] = self.place(
                    trace, resampler.width, ratio, seed, resampler.mask_id
                )
        return canvas, hint_mask

    def place(
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
        rng = python_rng(seed, "chunks")
        room = max(0, width - _LEFT_FREE) if self.stretch else width
        chunks = self.cut(min(len(trace), room), rng)
        chosen = sorted(rng.sample(chunks, int(ratio * len(chunks))))
        columns = stretched(chosen, len(trace), room) if self.stretch else [start for start, _ in chosen]
        canvas = torch.full((width,), mask_id, dtype=torch.long, device="cpu")
        for (start, stop), column in zip(chosen, columns, strict=False):
            tokens = torch.tensor(trace[start:stop], dtype=torch.long, device="cpu")[: room - column]
            canvas[column : column + len(tokens)] = tokens
        return canvas, canvas != mask_id

    def cut(self, length: int, rng) -> list[tuple[int, int]]:
        """Consecutive [start, stop) chunks that cover ``length`` tokens; the last may be short."""
        chunks, start = [], 0
        while start < length:
            stop = min(start + rng.randint(self.shortest, self.longest), length)
            chunks.append((start, stop))
            start = stop
        return chunks


class ForcedAnswer:
    """Give the final answer and leave the way there to the policy (LaViDa-R1, arXiv 2602.14147).

    The gold response's final statement, with the end of the completion after it, is written into the canvas;
    all before it is empty. Such a completion states the right answer whatever it reasons, so what it earns
    says that an answer can be led up to, not that it was found.

    Args:
        place: Where the statement stands: in the columns of the gold response ("trace"), or in the last ones
            of the canvas ("end"), with all of it as room to reason in.
    """

    def __init__(self, place: str = "trace"):
        self.at_end = choice("algo.inpaint.place", place, "trace", "end") == "end"

    def can_help(self, p: int, resampler: Resampler) -> bool:
        # One that fills the canvas was cut to it, and its statement may be gone.
        return 0 < len(resampler.prompts[p].response) < resampler.width

    def __call__(
        self, which: Sequence[int], count: int, resampler: Resampler, purpose: str
    ) -> tuple[Tensor, Tensor]:
        canvas, hint_mask = resampler.blank(len(which), count)
        for row, p in enumerate(which):
            prompt = resampler.prompts[p]
            start = len(prompt.hint)  # ends where the final statement begins
            ids = (*prompt.response[start:], resampler.policy.end_id)
            stated = torch.tensor(ids, dtype=torch.long, device="cpu")
            first = resampler.width - len(ids) if self.at_end else start
            columns = slice(first, first + len(ids))
            canvas[row, :, columns], hint_mask[row, :, columns] = stated, True
        return canvas, hint_mask


_LEFT_FREE, _MOST, _WIDEST = 30, 1.5, 100  # of the published code: columns, factor, columns


def stretched(chunks: Sequence[tuple[int, int]], length: int, room: int) -> list[int]:
    """Columns of the chunks as the published code of IGPO places them.

    (facebookresearch/igpo, utils/generate.py, ``create_spacing_scaled_inpainting_sequence``.) Chunks keep
    their lengths; what lies before and between them grows by the factor room / length, which is at least
    1 and at most 1.5, and a gap never exceeds 100 columns. What no longer fits gets no column.

    Args:
        chunks: [start, stop) of the chosen ones, sorted.
        length: Tokens of the whole trace.
        room: Columns that hints may use.
    """
    columns: list[int] = []
    factor = min(_MOST, max(1.0, room / max(1, length)))
    before = end = 0  # where the last chunk ends, in the trace and in the canvas
    for start, stop in chunks:
        gap = int((start - before) * factor)
        column = end + (min(gap, _WIDEST) if columns else gap)
        if column >= room:
            break
        columns.append(column)
        before, end = stop, column + stop - start
    return columns

"""Fill any number of canvases, in sampler calls of bounded size and in step with other processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from .. import progress
from ..distributed import agree_any, agree_max
from ..models import Policy
from ..types import Samples


def fill(
    policy: Policy,
    sampler,
    canvas: Tensor,
    attention: Tensor | None,
    seeds: Sequence[int],
    rows_per_forward: int | None = None,
) -> Samples:
    """Run ``sampler`` over chunks of rows: as many chunks, and as many model calls, on every process.

    With no rows it makes the model calls that other processes are making, and returns none.

    Args:
        policy: Gives logits.
        sampler: See :class:`LowConfidenceSampler`.
        canvas: [B, L] ids, masks where tokens are wanted.
        attention: [B, L] bool, False on padding; None when nothing is padded.
        seeds: B identity seeds.
        rows_per_forward: Most rows of one call; None makes a single one.
    """
    device = canvas.device
    anyone = partial(agree_any, device=device)
    size = rows_per_forward or max(1, len(canvas))
    tokens, forwards, row_forwards = [canvas[:0]], 0, 0
    for chunk in range(agree_max(-(-len(canvas) // size), device)):
        rows = slice(chunk * size, (chunk + 1) * size)
        part, mask = canvas[rows], None if attention is None else attention[rows]
        if not len(part):  # nothing left here: a finished canvas joins the others' model calls
            idle = torch.full((1, canvas.shape[1]), policy.eos_id, dtype=torch.long, device=device)
            sampler(policy, idle, None, [0], keep_going=anyone)
            continue
        progress.began(len(part))
        samples = sampler(policy, part, mask, list(seeds[rows]), keep_going=anyone)
        progress.finished()
        tokens.append(samples.tokens)
        forwards += samples.forwards
        row_forwards += samples.row_forwards
    return Samples(torch.cat(tokens), forwards, row_forwards)

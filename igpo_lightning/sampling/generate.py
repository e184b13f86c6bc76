"""Completions of prompts from canvases of any kind: the one loop of rollouts, validation and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .. import progress
from ..distributed import agree_any, agree_max
from ..models import Policy
from ..types import Samples
from .canvas import PromptTensors, attention_of, completion_texts, up_to_stop


@dataclass(frozen=True)
class Generated:
    """B completions."""

    tokens: Tensor  # [B, C] int64
    step_map: Tensor  # [B, C] int32
    completion_mask: Tensor  # [B, C] bool, True up to and including the first stop token
    texts: list[str]  # up to that token
    row_forwards: int  # rows summed over model calls


def generate(
    policy: Policy,
    sampler,
    prompts: PromptTensors,
    which: Tensor,
    canvas: Tensor,
    seeds: Sequence[int],
    rows_per_forward: int | None = None,
    on_texts: Callable[[slice, list[str]], None] | None = None,
) -> Generated:
    """Complete prompts. On several processes all of them must call, be it with no rows.

    Args:
        policy: Gives logits.
        sampler: See :class:`~igpo_lightning.sampling.BlockwiseSampler`.
        prompts: P prompts.
        which: [B] int64, the prompt of each row.
        canvas: [B, C] ids, masks where tokens are wanted.
        seeds: B identity seeds.
        rows_per_forward: Most rows of one call; None makes a single one.
        on_texts: Is told of rows that are complete, and of their texts, before the next call begins.
    """
    device, width = prompts.ids.device, canvas.shape[1]
    which = which.to(device)
    whole = torch.cat([prompts.ids[which], canvas.to(device)], dim=1)
    attention = attention_of(prompts.mask, width)
    attention = None if attention is None else attention[which]
    texts = [""] * len(whole)

    def decoded(rows: slice, tokens: Tensor) -> None:
        texts[rows] = completion_texts(policy, tokens[:, -width:])
        if on_texts is not None:
            on_texts(rows, texts[rows])

    samples = fill(policy, sampler, whole, attention, seeds, rows_per_forward, decoded)
    tokens = samples.tokens[:, -width:]
    return Generated(
        tokens,
        samples.step_map[:, -width:],
        up_to_stop(tokens, policy.stop_ids),
        texts,
        samples.row_forwards,
    )


def fill(
    policy: Policy,
    sampler,
    canvas: Tensor,
    attention: Tensor | None,
    seeds: Sequence[int],
    rows_per_forward: int | None = None,
    on_chunk: Callable[[slice, Tensor], None] = lambda rows, tokens: None,
) -> Samples:
    """Run ``sampler`` over chunks of rows: as many chunks, and as many model calls, on every process.

    Arguments are those of the sampler: ``canvas`` [B, L], ``attention`` [B, L] or None, B ``seeds``. With no
    rows it makes the model calls that other processes are making, and returns none. ``on_chunk`` is given the
    rows of each chunk that is filled, and their tokens [chunk, L].
    """
    device = canvas.device
    anyone = partial(agree_any, device=device)
    size = rows_per_forward or max(1, len(canvas))
    done = [Samples(canvas[:0], canvas[:0].int())]
    for chunk in range(agree_max(-(-len(canvas) // size), device)):
        rows = slice(chunk * size, (chunk + 1) * size)
        part, mask = canvas[rows], None if attention is None else attention[rows]
        if not len(part):  # nothing left here: a finished canvas joins the others' model calls
            idle = torch.full((1, canvas.shape[1]), policy.eos_id, dtype=torch.long, device=device)
            sampler(policy, idle, None, [0], keep_going=anyone)
            continue
        progress.began(len(part))
        done.append(sampler(policy, part, mask, list(seeds[rows]), keep_going=anyone))
        progress.finished()
        on_chunk(rows, done[-1].tokens)
    return Samples(
        torch.cat([part.tokens for part in done]),
        torch.cat([part.step_map for part in done]),
        sum(part.forwards for part in done),
        sum(part.row_forwards for part in done),
    )

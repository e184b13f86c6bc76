"""Scores of tokens under the output head, without holding the logits of all positions at once.

LLaDA's vocabulary has 126,464 entries: float32 logits of 2,048 positions are 1 GB, and log-softmax, its
gradient and the logits' gradient are as much again each. Positions are therefore taken in chunks, and
a chunk's logits are computed again in the backward pass instead of being kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..distributed import agree_max

# Most logits of a chunk on a CPU: 128 MB in float32, 265 positions of LLaDA's vocabulary.
CHUNK_LOGITS = 2**25
_BOUNDS = (2**23, 2**28)  # on a GPU: 66 to 2,122 positions of it
_BYTES = 16  # of a logit in a backward pass: in 16 bits and in float32, its log-probability, both gradients
_SHARE = 16  # a chunk takes this part of the memory that is free


class TokenScores(NamedTuple):
    """Log-probabilities of given tokens at N positions, entropies, and the most likely tokens.

    A tuple, because that is where ZeRO-3 and FSDP2 look for the tensors of a module's output, to know
    when its backward pass begins.

    Attributes:
        logps: float32, of the shape of the targets ([N] or [N, K]): their log-probabilities.
        entropy: [N] float32 nats of each position's distribution, without gradient; None if it was not
            asked for.
        top: [N] int64, the most likely token of each position.
    """

    logps: Tensor
    entropy: Tensor | None
    top: Tensor


def token_scores(logits: Tensor, targets: Tensor, entropy: bool = False) -> TokenScores:
    """Scores of ``targets`` [N] or [N, K] under ``logits`` [N, V]; the softmax is in float32."""
    return TokenScores(*_scores(logits, targets, entropy))


def chunked_scores(
    head: nn.Module,
    hidden: Tensor,
    targets: Tensor,
    entropy: bool = False,
    chunk_logits: int | None = None,
) -> TokenScores:
    """:func:`token_scores` of ``head(hidden)``, so many positions at a time that memory stays bounded.

    Args:
        head: Hidden states [n, H] → logits [n, V]; a module with ``out_features`` = V.
        hidden: [N, H].
        targets: [N] or [N, K] ids.
        entropy: Whether to compute entropies.
        chunk_logits: Most logits that are held at once; None: as :func:`room` has it for the device. If
            all of them fit, there is one chunk and nothing is recomputed.
    """
    chunks = _chunks(head, hidden, chunk_logits or room(hidden.device))

    def part(hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        return _scores(head(hidden), targets, entropy)

    if chunks == 1:
        return TokenScores(*part(hidden, targets))
    run: Callable[..., Any] = part
    if torch.is_grad_enabled():
        run = partial(checkpoint, part, use_reentrant=False)
    pieces = zip(hidden.tensor_split(chunks), targets.tensor_split(chunks), strict=True)
    logps, nats, top = zip(*(run(h, t) for h, t in pieces), strict=True)
    return TokenScores(torch.cat(logps), torch.cat(nats) if entropy else None, torch.cat(top))


@cache
def room(device: torch.device) -> int:
    """Most logits of a chunk on ``device``.

    On a GPU it follows the memory that is free when the first one asks, and stays: sampling policy, reference
    and current policy must be cut alike, since products of other shapes round in other ways, and the ratio
    of the first update would not be 1.
    """
    if device.type != "cuda":
        return CHUNK_LOGITS
    free, _ = torch.cuda.mem_get_info(device)
    return chunk_of(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def chunk_of(free: float) -> int:
    """Logits of a chunk where ``free`` bytes are: a power of 2, so that a little more or less is the same."""
    least, most = _BOUNDS
    fits = free / _SHARE / _BYTES
    return most if fits >= most else max(least, 2 ** int(math.log2(max(1, fits))))


def _scores(logits: Tensor, targets: Tensor, entropy: bool) -> tuple[Tensor, Tensor | None, Tensor]:
    table = logits.float().log_softmax(dim=-1)
    rows = targets if targets.dim() > 1 else targets[:, None]
    logps = table.gather(-1, rows)
    if targets.dim() == 1:
        logps = logps.sum(-1)  # of one: what leaves a module that FSDP2 splits should not be a view
    nats = None
    if entropy:
        # What is recomputed but never differentiated would stay in memory until the last chunk is done.
        certain = table.detach()
        nats = -(certain.exp() * certain).sum(-1)
    return logps, nats, logits.argmax(-1)


def _chunks(head: Any, hidden: Tensor, chunk_logits: int) -> int:
    """In how many chunks the positions of ``hidden`` are taken.

    A sharded head (DeepSpeed ZeRO-3) is gathered by all processes at every call: they must agree, or
    they wait for one another for ever.
    """
    rows = max(1, chunk_logits // head.out_features)  # quantised and adapted heads have the attribute, too
    chunks = max(1, math.ceil(len(hidden) / rows))
    sharded = any(hasattr(parameter, "ds_id") for parameter in head.parameters())
    return agree_max(chunks, hidden.device) if sharded else chunks

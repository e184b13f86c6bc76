"""Completion of prompts: rows sorted by length, in calls that fit, and back in the order asked for."""

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
from .row_budget import RowBudget
from .steps import OnStep, Step


@dataclass(frozen=True)
class Generated:
    """B completions."""

    tokens: Tensor  # [B, C] int64
    step_map: Tensor  # [B, C] int32
    completion_mask: Tensor  # [B, C] bool, True up to and including the first stop token
    texts: list[str]  # up to that token
    row_forwards: int  # rows summed over model calls
    token_forwards: int = 0  # columns that ran, summed over rows and calls
    probability: Tensor | None = None  # [B, C] float32, as of `Samples`, if the sampler notes it
    entropy: Tensor | None = None  # the same


def generate(
    policy: Policy,
    sampler,
    prompts: PromptTensors,
    which: Tensor,
    canvas: Tensor,
    seeds: Sequence[int],
    budget: RowBudget | None = None,
    on_texts: Callable[[list[int], list[str]], None] | None = None,
    on_step: OnStep | None = None,
) -> Generated:
    """Complete prompts. On several processes all of them must call, be it with no rows.

    Rows of like length run together, padded to the longest among them: what a row is padded with costs time,
    and any padding an attention mask.

    Args:
        policy: Gives logits.
        sampler: See :class:`~igpo_lightning.sampling.BlockwiseSampler`.
        prompts: P prompts.
        which: [B] int64, the prompt of each row.
        canvas: [B, C] ids, masks where tokens are wanted.
        seeds: B identity seeds.
        budget: How many rows a call takes; None makes a single one.
        on_texts: Is told of rows that are complete, and of their texts, before the next call begins.
        on_step: Is told of each step, in rows and columns of ``canvas``. A sampler that is given one has to
            take an argument of this name.
    """
    device, width = prompts.ids.device, canvas.shape[1]
    which, canvas = which.to(device), canvas.to(device)
    lengths = prompts.mask.sum(-1)[which]
    order = lengths.argsort(descending=True, stable=True)

    texts = [""] * len(canvas)

    def fill(rows: Tensor) -> Samples:
        asked, longest = which[rows], int(lengths[rows].max())
        left = prompts.ids.shape[1] - longest
        whole = torch.cat([prompts.ids[asked, left:], canvas[rows]], dim=1)
        attention = attention_of(prompts.mask[asked, left:], width)
        progress.began(len(rows))
        numbers = rows.tolist()
        told = {}
        if on_step is not None:
            told["on_step"] = partial(_tell, on_step, rows, longest)
        samples = sampler(
            policy, whole, attention, [seeds[i] for i in numbers], keep_going=keep_going, **told
        )
        progress.finished()
        written = completion_texts(policy, samples.tokens[:, -width:])
        for i, text in zip(numbers, written, strict=True):
            texts[i] = text
        if on_texts is not None:
            on_texts(numbers, written)
        return samples

    budget = budget or RowBudget()
    keep_going: Callable[[bool], bool] = partial(agree_any, device=device) if policy.sharded else bool
    # Agreed on before the first call: within a call, the others' messages are of its steps.
    most = agree_max(budget.calls(len(order)), device) if policy.sharded else 0
    done = budget.run(order, (lengths[order] + width).tolist(), fill)
    if policy.sharded:
        _accompany(policy, sampler, most - len(done), prompts.ids.shape[1] + width, keep_going, device)
    return _in_order(done, canvas, texts, policy.stop_ids, getattr(sampler, "notes", ()))


def _tell(on_step: OnStep, rows: Tensor, longest: int, step: Step) -> None:
    on_step(step.within(rows, longest))


def _in_order(
    done: Sequence[tuple[Tensor, Samples]],
    canvas: Tensor,
    texts: list[str],
    stop_ids: Sequence[int],
    notes: Sequence[str],
) -> Generated:
    """The rows of all calls, (which, filled), where they stand in ``canvas``."""
    width, tokens = canvas.shape[1], torch.empty_like(canvas)
    step_map = torch.empty_like(canvas, dtype=torch.int32)
    noted = {name: torch.zeros_like(tokens, dtype=torch.float32) for name in notes}
    for rows, samples in done:
        tokens[rows], step_map[rows] = samples.tokens[:, -width:], samples.step_map[:, -width:]
        for name, values in noted.items():
            values[rows] = getattr(samples, name)[:, -width:]
    return Generated(
        tokens,
        step_map,
        up_to_stop(tokens, stop_ids),
        texts,
        sum(samples.row_forwards for _, samples in done),
        sum(samples.token_forwards for _, samples in done),
        **noted,
    )


def _accompany(
    policy: Policy,
    sampler,
    calls: int,
    length: int,
    keep_going: Callable[[bool], bool],
    device: torch.device,
) -> None:
    """Make the model calls of other processes that have more to make: a finished canvas joins them."""
    idle = torch.full((1, length), policy.eos_id, dtype=torch.long, device=device)
    for _ in range(calls):
        sampler(policy, idle, None, [0], keep_going=keep_going)

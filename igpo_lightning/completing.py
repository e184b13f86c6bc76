"""Completion of texts: a prompt, a hint with gaps, and the canvas that they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .checks import ConfigError
from .data.encoding import Encoder
from .data.literal import literal_ids
from .data.prompts import PromptFormat
from .models import Policy
from .sampling.canvas import collate
from .sampling.generate import Generated
from .sampling.generate import generate as fill_canvases
from .sampling.steps import OnStep
from .seeding import derive
from .types import Problem, Prompt

_GAP = re.compile(r"_{3,}")


@dataclass(frozen=True)
class Asked:
    """A question, and what its completion begins with.

    Attributes:
        prompt: The question; the tokenizer's chat template is put around it.
        hint: Fixed text; each run of three or more underscores is a gap of so many tokens. None for none.
        answer: The right answer, which the model is not told; None if it is not known.
    """

    prompt: str
    hint: str | None = None
    answer: str | None = None


def complete(
    policy: Policy,
    sampler,
    asked: Sequence[Asked],
    canvas: Tensor,
    prompt_format: PromptFormat | None = None,
    seed: int = 0,
    first: int = 0,
    on_step: OnStep | None = None,
) -> Generated:
    """Complete B questions, each with draws that depend on the seed, its place and its canvas alone.

    Args:
        sampler: See :class:`~igpo_lightning.sampling.BlockwiseSampler`.
        canvas: [B, C] int64, as :func:`canvases` makes them.
        first: Place of the first question among all that are asked.
        on_step: See :func:`~igpo_lightning.sampling.generate.generate`.
    """
    problems = [Problem(f"prompt/{first + i}", one.prompt, "", "") for i, one in enumerate(asked)]
    encoded = encode(policy, problems, prompt_format, hints=False)
    tensors = collate(encoded, policy.pad_id, next(policy.parameters()).device)
    seeds = [derive(seed, "decode", problem.id) for problem in problems]
    which = torch.arange(len(problems), dtype=torch.long, device="cpu")
    return fill_canvases(policy, sampler, tensors, which, canvas, seeds, on_step=on_step)


def canvases(policy: Policy, asked: Sequence[Asked], width: int, name: str = "hints") -> Tensor:
    """[B, width] int64 ids: each hint with its gaps as masks, then masks.

    Args:
        name: Of the hint, for errors.

    Raises:
        ConfigError: A hint is longer than the canvas.
    """
    return torch.stack([_canvas(policy, one.hint or "", width, name) for one in asked])


def encode(
    policy: Policy, problems: Sequence[Problem], prompt_format: PromptFormat | None, **options
) -> list[Prompt]:
    """Problems as token ids; ``options`` are of :class:`~igpo_lightning.data.encoding.Encoder`."""
    encoder = Encoder(
        policy.tokenizer,
        prompt_format,
        mask_id=policy.mask_id,
        on_long="cut",
        on_mask_token="text",
        **options,
    )
    return list(encoder.encode_all(list(problems)).prompts)


def _canvas(policy: Policy, hint: str, width: int, name: str) -> Tensor:
    ids: list[int] = []
    for text, gap in zip(_GAP.split(hint), [*_GAP.findall(hint), ""], strict=True):
        ids += literal_ids([text], policy.tokenizer)[0] if text else []
        ids += [policy.mask_id] * len(gap)
    if len(ids) > width:
        raise ConfigError(f"{name}: {len(ids)} tokens do not fit a completion of {width}: {hint!r}")
    return torch.tensor(ids + [policy.mask_id] * (width - len(ids)), dtype=torch.long, device="cpu")

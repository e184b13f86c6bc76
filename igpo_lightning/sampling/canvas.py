"""Prompts as tensors, and the canvas that a sampler fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models import Policy
from ..types import Prompt


@dataclass(frozen=True)
class PromptTensors:
    """P prompts, left-padded to one width."""

    ids: Tensor  # [P, Q] int64
    mask: Tensor  # [P, Q] bool, True on real tokens


def collate(prompts: Sequence[Prompt], pad_id: int, device: torch.device | str = "cpu") -> PromptTensors:
    """Left-pad prompts, so that every completion starts in the same column."""
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long, device="cpu")
    mask = torch.zeros(len(prompts), width, dtype=torch.bool, device="cpu")
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt.ids) :] = torch.tensor(prompt.ids, dtype=torch.long, device="cpu")
        mask[row, width - len(prompt.ids) :] = True
    return PromptTensors(ids.to(device), mask.to(device))


def attention_of(prompt_mask: Tensor, width: int) -> Tensor | None:
    """[B, Q + width] attention of a canvas, or None when nothing is padded (no mask is 22-45 % faster)."""
    if prompt_mask.all():
        return None
    return torch.cat([prompt_mask, prompt_mask.new_ones(len(prompt_mask), width)], dim=1)


def up_to_stop(completions: Tensor, stop_ids: Sequence[int]) -> Tensor:
    """[..., C] bool: True up to and including the first stop token; all True where there is none."""
    is_stop = torch.isin(completions, torch.tensor(stop_ids, dtype=torch.long, device=completions.device))
    return (is_stop.cumsum(-1) - is_stop.long()) == 0


def completion_texts(policy: Policy, completions: Tensor) -> list[str]:
    """Completions [B, C] as text, each up to its first stop token."""
    lengths = up_to_stop(completions, policy.stop_ids).sum(-1).tolist()
    rows = [ids[:n] for ids, n in zip(completions.tolist(), lengths, strict=True)]
    if not rows:  # a process without all-wrong groups; transformers would decode it as one empty text
        return []
    return policy.tokenizer.batch_decode(rows, skip_special_tokens=True)

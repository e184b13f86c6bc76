"""The values that cross rooms, and the one legend of shapes.

Shapes, everywhere in this package:

    P   prompts                     G   completions per prompt (a group)
    B   rows, B = P * G             C   completion width (the canvas that is denoised), in tokens
    Q   prompt width, in tokens     L   columns, L = Q + C (prompts are left-padded to Q)
    V   vocabulary                  M   scored views of a rollout: 1, or the number of inner updates

Group-major order: row ``p * G + g`` is completion ``g`` of prompt ``p``; ``[P, G, ...]`` tensors
are views of ``[B, ...]`` ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """One row of a data source, as text.

    Attributes:
        id: Stable identity within all sources ("gsm8k/train/17"): every random draw for this row
            derives from it, never from its position in a batch.
        prompt: What the model is asked.
        trace: The gold reasoning, *with* its final answer at the end.
        answer: The gold final answer, bare ("72", "\\frac{1}{2}").
        meta: Anything reports may group by (level, subject, ...).
    """

    id: str
    prompt: str
    trace: str
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """A problem as token ids.

    Attributes:
        problem: The row it came from.
        ids: Prompt tokens, chat template applied, no padding.
        response: Gold response tokens (trace with final answer), no EOS; the SFT target.
        hint: Gold trace tokens that may be written into a canvas, index for index. Positions that
            carry the final answer hold the mask id; the final-answer statement is cut off.
    """

    problem: Problem
    ids: tuple[int, ...]
    response: tuple[int, ...]
    hint: tuple[int, ...]


@dataclass
class Scores:
    """What a reward says about B completions.

    ``correct`` is separate from ``total`` so that a format reward cannot hide that every
    completion of a group is wrong.
    """

    total: Tensor  # [B] float32
    correct: Tensor  # [B] bool
    parts: dict[str, Tensor] = field(default_factory=dict)  # name -> [B] float32, unweighted


@dataclass
class Samples:
    """What a sampler returns for B rows."""

    tokens: Tensor  # [B, L] int64, no mask id left in the fillable columns
    forwards: int = 0  # model calls
    row_forwards: int = 0  # rows summed over model calls: the honest measure of sampling compute


@dataclass
class RolloutBatch:
    """Everything the update needs about P prompts with G completions each.

    Attributes:
        prompt_ids: [P, Q] int64, left-padded.
        prompt_mask: [P, Q] bool, True on real tokens.
        completions: [P, G, C] int64.
        hint_mask: [P, G, C] bool, True where the token was written by us as a hint.
        rewards: [P, G] float32, of the final group (after replacement).
        correct: [P, G] bool, likewise.
        advantages: [P, G] float32.
        loss_mask: [P, G, C] bool, tokens up to and including the first end-of-sequence token.
        old_logps: [M, P, G, C] float32 under the policy that sampled.
        ref_logps: [M, P, G, C] float32 under the reference, or None when no KL term needs it.
        keep: [M, P, G, C] bool, tokens that carry gradient in view m.
        seeds: [P] int64, identity seeds of the log-prob plan.
        window: Index of the rollout window.
        inner: Which of the inner updates this pass is (0-based).
        metrics: Scalars of the whole window; present on every slice, logged once.
        second_tries: A few hinted completions that entered no group, for people to read.
    """

    prompt_ids: Tensor
    prompt_mask: Tensor
    completions: Tensor
    hint_mask: Tensor
    rewards: Tensor
    correct: Tensor
    advantages: Tensor
    loss_mask: Tensor
    old_logps: Tensor
    ref_logps: Tensor | None
    keep: Tensor
    seeds: Tensor
    window: int = 0
    inner: int = 0
    slot: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    second_tries: tuple[SampleRecord, ...] = ()

    _BY_VIEW = ("old_logps", "ref_logps", "keep")  # prompt axis 1; all other tensors have it at 0

    @classmethod
    def prompt_axis(cls, name: str) -> int:
        """Which axis of the tensor ``name`` counts prompts."""
        return 1 if name in cls._BY_VIEW else 0

    def rows(self, start: int, stop: int, *, inner: int = 0, slot: int = 0) -> RolloutBatch:
        """The micro-batch of prompts [start, stop), as pass ``inner`` over the window."""
        parts: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                parts[f.name] = value.narrow(
                    self.prompt_axis(f.name), start, min(stop, len(self.prompt_ids)) - start
                )
        return replace(self, **parts, inner=inner, slot=slot)

    def view(self, name: str) -> Tensor | None:
        """The [P, G, C] view of ``old_logps``, ``ref_logps`` or ``keep`` for this inner update."""
        value = getattr(self, name)
        return None if value is None else value[self.inner % value.shape[0]]

    def to(self, device: torch.device | str) -> RolloutBatch:
        moved = {f.name: v.to(device) for f in fields(self) if isinstance(v := getattr(self, f.name), Tensor)}
        return replace(self, **moved)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and scalars, so a checkpoint that holds it loads with ``weights_only``.

        The tensors are in the host's memory: other processes are sent them, and have other devices.
        """
        host = self.to("cpu")
        return {f.name: getattr(host, f.name) for f in fields(self) if f.name != "second_tries"}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> RolloutBatch:
        return cls(**state)


@dataclass(frozen=True)
class LossInputs:
    """What a policy loss may look at: P prompts, G completions, C tokens.

    ``mask`` is True exactly on the tokens that carry gradient: scored by the estimator, inside the
    completion, and not filtered out. A loss must touch nothing outside it, unless it is told to let
    filtered tokens in: ``unfiltered`` is True on those as well.
    """

    logps: Tensor  # [P, G, C], with gradient
    old_logps: Tensor  # [P, G, C]
    ref_logps: Tensor | None  # [P, G, C]
    advantages: Tensor  # [P, G]
    mask: Tensor  # [P, G, C] bool
    unfiltered: Tensor | None = None  # [P, G, C] bool


@dataclass(frozen=True)
class SampleRecord:
    """One completion as a person reads it: for sample tables and files.

    ``pieces`` are (text, is_hint) runs whose concatenation is the completion; ``trace`` is the gold one.
    """

    window: int
    prompt: str
    answer: str
    pieces: Sequence[tuple[str, bool]]
    reward: float
    correct: bool
    inpainted: bool
    trace: str = ""

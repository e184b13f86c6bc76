"""The values that cross rooms, and the one legend of shapes.

Shapes, everywhere in this package:

    P   prompts                     G   completions per prompt (a group)
    B   rows, B = P * G             C   completion width (the canvas that is denoised), in tokens
    Q   prompt width, in tokens     L   columns, L = Q + C (prompts are left-padded to Q)
    V   vocabulary                  D   draws of a log-prob estimator: canvases that it shows the policy
    μ   iterations over a rollout   N   draws of all iterations, μ * D, or D where all share them

Axes stand in this order everywhere: [P, G, D, C]. Group-major order: row ``p * G + g`` is completion
``g`` of prompt ``p``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from .sample_record import SampleRecord


@dataclass(frozen=True)
class Problem:
    """One row of a data source, as text.

    Attributes:
        id: Stable identity ("gsm8k/train/17"), from which every random draw for this row derives.
        prompt: What the model is asked.
        trace: The gold reasoning, *with* its final answer at the end.
        answer: The gold final answer, bare ("72", "\\frac{1}{2}").
        meta: Anything reports may group by (level, subject, ...).
        task: What its reward reads besides the answer (numbers and a target, a puzzle, tests), as JSON.
        tells: [begin, end) of the trace, sorted, that tell the answer, where its source knows them all; the
            last one is the final statement and ends the trace. None: they are looked for.
        where: Its row's place ("train.jsonl:17") for messages; "" of a problem that is made.
    """

    id: str
    prompt: str
    trace: str
    answer: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    tells: tuple[tuple[int, int], ...] | None = None
    where: str = field(default="", compare=False, repr=False)

    @property
    def named(self) -> str:
        """Its id, after its place if it has one, for messages."""
        return f"{self.where}: problem {self.id}" if self.where else f"problem {self.id}"


@dataclass(frozen=True)
class Prompt:
    """A problem as token ids.

    Attributes:
        problem: The row it came from.
        ids: Prompt tokens, chat template applied, no padding.
        response: Gold response tokens (trace with final answer), no EOS; the SFT target.
        hint_of: Problem → its :attr:`hint`; None where there are no hints.
    """

    problem: Problem
    ids: tuple[int, ...]
    response: tuple[int, ...] = ()
    hint_of: Callable[[Problem], tuple[int, ...]] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def hint(self) -> tuple[int, ...]:
        """Gold trace tokens that may be written into a canvas, index for index; found when asked for.

        Positions that carry the final answer hold the mask id; the final-answer statement is cut off.
        """
        return self.hint_of(self.problem) if self.hint_of else ()


@dataclass
class Scores:
    """A reward's judgement of B completions.

    ``correct`` is separate from ``total``, so that a format reward cannot hide that a whole group is wrong.
    """

    total: Tensor  # [B] float32
    correct: Tensor  # [B] bool
    parts: dict[str, Tensor] = field(default_factory=dict)  # name -> [B] float32, unweighted
    answers: Tensor | None = None  # [B] int64, alike where stated answers are written alike; -1: none stated

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Scores of all completions of ``parts``, in that order."""
        answers = [part.answers for part in parts if part.answers is not None]
        return cls(
            torch.cat([part.total for part in parts]),
            torch.cat([part.correct for part in parts]),
            {name: torch.cat([part.parts[name] for part in parts]) for name in parts[0].parts},
            torch.cat(answers) if len(answers) == len(parts) else None,
        )

    def select(self, rows: Tensor) -> Scores:
        """Scores of ``rows`` [B'] int64."""
        parts = {name: part[rows] for name, part in self.parts.items()}
        answers = None if self.answers is None else self.answers[rows]
        return Scores(self.total[rows], self.correct[rows], parts, answers)


@dataclass
class Samples:
    """Filled canvases: the result of a sampler for B rows."""

    tokens: Tensor  # [B, L] int64, no mask id left in the fillable columns
    step_map: Tensor  # [B, L] int32, the step that wrote each token; -1 where it was given or never drawn
    forwards: int = 0  # model calls
    row_forwards: int = 0  # rows summed over model calls
    token_forwards: int = 0  # columns that ran, summed over rows and calls: what sampling computes
    probability: Tensor | None = None  # [B, L] float32 of each drawn token, at temperature 1
    entropy: Tensor | None = None  # [B, L] float32 nats of the distribution that each token was drawn from


# How a field of a Rollout is cut and merged is told by its annotation.
PerPrompt: TypeAlias = Tensor  # [P, ...]
PerCompletion: TypeAlias = Tensor  # [P, G, ...]


@dataclass
class Rollout:
    """P prompts with G completions each, on their way from the sampler to the loss.

    A new tensor is one line here: slicing, merging, moving and saving go over the fields. What a later
    step of the way adds is None before it.

    Attributes:
        prompt_ids: [P, Q] int64, left-padded.
        prompt_mask: [P, Q] bool, True on real tokens.
        tokens: [P, G, C] int64, the completions.
        hint_mask: [P, G, C] bool, True where the token was written into the canvas as a hint.
        completion_mask: [P, G, C] bool, True up to and including the first token that ends a completion.
        step_map: [P, G, C] int32, the denoising step that wrote each token; -1 where it was given (a
            hint) or never drawn (the fill after an end).
        step_probability: [P, G, C] float32, of each token when it was drawn, at temperature 1; 0 where none
            was. None if the sampler does not note it.
        step_entropy: [P, G, C] float32 nats of the distribution that each token was drawn from, at
            temperature 1; 0 where none was. None unless an estimator asks for it.
        rewards, correct: [P, G] float32 and bool, of the final groups.
        parts: name -> [P, G] float32, the reward's unweighted terms.
        answers: [P, G] int64, alike where the stated answers are written alike, -1 where there is none; None
            if the reward reads no answers.
        advantages: [P, G] or [P, G, C] float32.
        old_logps: [P, G, N, C] float32 under the policy that sampled, in N draws: those of each of the μ
            iterations in turn, or of one that all share. 0 where a draw does not score a token.
        ref_logps: [P, G, N, C] float32 under the reference, or None where no loss asks for it.
        loss_mask: [P, G, N, C] bool, tokens that carry gradient.
        update_tokens: [P, μ or 1] float32, True entries of ``loss_mask`` in the whole update, on all
            processes, that the prompt belongs to at each iteration.
        kept_weight, update_weight: [P, N], the sum of ``loss_mask`` over completions and tokens, and
            ``update_tokens``, both with the draws' weights; None where there are none.
        seeds: [P] int64, identity seeds of the draws.
        candidate: [P] int64, which of the prompts that the rollout was given, spares after them, each is.
        index: Of the rollout in the run.
        iteration: Which of the μ passes over the rollout this is (0-based).
        draws: Draws of one iteration, D.
        part: [start, stop) of these draws that a micro-batch trains on; None: all of them.
        first: Whether this is the first micro-batch of the rollout.
        version: Updates that the sampling weights had seen.
        metrics: Scalars of the whole rollout; present on every slice, logged once.
        second_tries: A few hinted completions that entered no group, for people to read.
    """

    prompt_ids: PerPrompt
    prompt_mask: PerPrompt
    seeds: PerPrompt
    tokens: PerCompletion
    hint_mask: PerCompletion
    completion_mask: PerCompletion
    step_map: PerCompletion
    rewards: PerCompletion
    correct: PerCompletion
    parts: dict[str, PerCompletion] = field(default_factory=dict)
    answers: PerCompletion | None = None
    step_probability: PerCompletion | None = None
    step_entropy: PerCompletion | None = None
    candidate: PerPrompt | None = None
    advantages: PerCompletion | None = None
    old_logps: PerCompletion | None = None
    ref_logps: PerCompletion | None = None
    loss_mask: PerCompletion | None = None
    update_tokens: PerPrompt | None = None
    kept_weight: PerPrompt | None = None
    update_weight: PerPrompt | None = None
    index: int = 0
    iteration: int = 0
    draws: int = 1
    part: tuple[int, int] | None = None
    first: bool = False
    version: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    second_tries: tuple[SampleRecord, ...] = ()

    @property
    def all_wrong(self) -> Tensor:
        """[P] bool: no completion of this group is correct, whatever its other rewards are."""
        return ~self.correct.any(dim=1)

    def of_iteration(self, name: str) -> Tensor | None:
        """[P, G, D, C]: the draws of ``old_logps``, ``ref_logps`` or ``loss_mask`` for this iteration."""
        value = getattr(self, name)
        if value is None:
            return None
        return value.narrow(2, self.iteration * self.draws % value.shape[2], self.draws)

    def select(self, prompts: slice | Tensor, **changes: Any) -> Rollout:
        """These prompts with their groups (views, for a slice); ``changes`` replace other fields."""
        return replace(self._mapped(lambda value: value[prompts]), **changes)

    def trimmed(self) -> Rollout:
        """Without columns that are padding in every row: as if these prompts had been collated alone."""
        first = int(self.prompt_mask.any(0).long().argmax())
        return replace(self, prompt_ids=self.prompt_ids[:, first:], prompt_mask=self.prompt_mask[:, first:])

    def put(self, at: tuple[int, int], other: Rollout, of: tuple[int, int]) -> None:
        """Overwrite completion ``at`` = (prompt, completion) by completion ``of`` of another rollout."""
        theirs = dict(other._tensors("PerCompletion"))
        for name, value in self._tensors("PerCompletion"):
            value[at] = theirs[name][of]

    def to(self, device: torch.device | str) -> Rollout:
        return self._mapped(lambda value: value.to(device))

    def copy(self) -> Rollout:
        return self._mapped(Tensor.clone)

    def state_dict(self) -> dict[str, Any]:
        """Plain scalars, and tensors in the host's memory: they load with ``weights_only``, on any device."""
        host = self.to("cpu")
        return {f.name: getattr(host, f.name) for f in fields(self) if f.name != "second_tries"}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Rollout:
        return cls(**state)

    @classmethod
    def joined(cls, parts: Sequence[Rollout]) -> Rollout:
        """One rollout of all prompts of ``parts``, left-padded to the widest."""
        width = max(part.prompt_ids.shape[1] for part in parts)
        widened = [
            replace(
                part,
                prompt_ids=pad(part.prompt_ids, (width - part.prompt_ids.shape[1], 0)),
                prompt_mask=pad(part.prompt_mask, (width - part.prompt_mask.shape[1], 0)),
            )
            for part in parts
        ]
        every = [dict(part._tensors()) for part in widened]
        joined = {name: torch.cat([tensors[name] for tensors in every]) for name in every[0]}
        return widened[0]._replaced(joined)

    def _tensors(self, kind: str = "Per") -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of each tensor there is; those of the dict ``parts`` as "parts/name"."""
        for f in fields(self):
            value = getattr(self, f.name)
            if kind not in str(f.type) or value is None:
                continue
            if isinstance(value, dict):
                yield from ((f"{f.name}/{key}", value[key]) for key in sorted(value))
            else:
                yield f.name, value

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Rollout:
        return self._replaced({name: change(value) for name, value in self._tensors()})

    def _replaced(self, tensors: Mapping[str, Tensor]) -> Rollout:
        parts = {n.partition("/")[2]: value for n, value in tensors.items() if n.startswith("parts/")}
        plain = {n: value for n, value in tensors.items() if not n.startswith("parts/")}
        return replace(self, parts=parts, **plain)

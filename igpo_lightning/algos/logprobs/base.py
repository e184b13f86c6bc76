"""Draws, and the one function that runs the policy on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...checks import ConfigError
from ...models import Policy
from ...sampling.canvas import attention_of
from ...types import Rollout


@dataclass(frozen=True)
class Draw:
    """One canvas for each completion, or one that a prompt's whole group shares.

    Attributes:
        masked: [P, G or 1, C] bool, hidden from the policy. A group may share a canvas only where its
            completions agree on all that is visible.
        scored: [P, G or 1, C] bool, the tokens that are read; all of them masked.
        weight: [P, G or 1, C] float32, their weight in a loss (an ELBO's 1/t); None: 1.
        prompt_masked: [P, G or 1, Q] bool, prompt tokens that are hidden, too; None: none of them.
    """

    masked: Tensor
    scored: Tensor
    weight: Tensor | None = None
    prompt_masked: Tensor | None = None

    def select(self, prompts: slice) -> Draw:
        """The same of some prompts."""
        return Draw(
            self.masked[prompts],
            self.scored[prompts],
            None if self.weight is None else self.weight[prompts],
            None if self.prompt_masked is None else self.prompt_masked[prompts],
        )


@dataclass(frozen=True)
class Scored:
    """Log-probabilities of the tokens of P prompts with G completions in D draws."""

    logps: Tensor  # [P, G, D, C] float32; 0 where not scored
    scored: Tensor  # [P, G, D, C] bool
    entropy: Tensor | None  # [P, G, D, C] float32 nats of the distribution each token was read from
    weight: Tensor | None = None  # [P, G, D, C] float32 of the draws; None where all are 1

    @property
    def nats(self) -> Tensor:
        """[P, G, C]: the entropy of each token, summed over draws; of scores that have it."""
        assert self.entropy is not None
        return self.entropy.sum(2)

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """Scores of all prompts of ``parts``, in that order."""
        return cls(
            torch.cat([part.logps for part in parts]),
            torch.cat([part.scored for part in parts]),
            _joined([part.entropy for part in parts]),
            _joined([part.weight for part in parts]),
        )


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


class LogProbs(Protocol):
    """An estimator: it plans draws, :func:`score` runs them.

    Old, reference and current log-probs of an iteration see the same draws, so these must be a function
    of the rollout alone.

    Attributes:
        renewed: Whether each iteration over a rollout has draws of its own.
    """

    renewed: bool

    def count(self, width: int) -> int:
        """Draws of an iteration, for completions of ``width`` tokens."""
        ...

    def draws(self, rollout: Rollout, iteration: int) -> list[Draw]:
        """The ``count`` draws of one iteration, on the device of ``rollout``; random by its ``seeds``."""
        ...


def check_blocks(policy: Policy, estimator: LogProbs) -> None:
    """Refuse an estimator that shows a block-causal policy canvases that its sampler never does.

    Such a policy is trained on whole blocks followed by one that is partly empty. An estimator says by
    ``within``, the columns of a block, or 0 for any, that its canvases are of that kind.

    Raises:
        ConfigError: It says which estimators are.
    """
    attention = getattr(policy, "attention", None)
    if attention is None:
        return
    block, within = attention.block, getattr(estimator, "within", None)
    if within is None or (within and block % within):
        raise ConfigError(
            f"algo.logprobs: {type(estimator).__name__} hides tokens before the present block of {block}, "
            "and a block-causal model reads a block after whole ones: take algo/logprobs=replay "
            "(algo=tracerl, d2, cj_grpo, egspo), left_to_right, or block_masking with "
            f"sampler.block_length={block}"
        )


def score(policy: Policy, rollout: Rollout, draws: Sequence[Draw], *, entropy: bool = False) -> Scored:
    """Run the policy once for each draw: P * G rows of a canvas, or P where groups share it."""
    read = [_read(policy, rollout, draw, entropy) for draw in draws]
    logps, scored, nats = zip(*read, strict=True)
    entropies = torch.stack(nats, 2) if entropy else None
    return Scored(torch.stack(logps, 2), torch.stack(scored, 2), entropies, weights(rollout, draws))


def weights(rollout: Rollout, draws: Sequence[Draw]) -> Tensor | None:
    """[P, G, D, C] weights of the draws, or None where all are 1."""
    if all(draw.weight is None for draw in draws):
        return None
    one = torch.ones((), dtype=torch.float32, device=rollout.tokens.device)
    shape = rollout.tokens.shape
    return torch.stack([(one if d.weight is None else d.weight).expand(shape) for d in draws], 2)


@torch.no_grad()
def hidden_tokens(policy: Policy, rollout: Rollout, draw: Draw) -> Tensor:
    """[P, G, C] the completions with what a draw hides replaced by the most likely tokens there."""
    canvas, prompt_mask = _canvas(policy, rollout, draw)
    width = rollout.tokens.shape[-1]
    hidden = draw.masked.reshape(-1, width)
    positions = torch.cat([torch.zeros_like(prompt_mask), hidden], dim=1)
    completions = canvas[:, -width:]
    found = policy(canvas, attention_of(prompt_mask, width), positions, targets=completions[hidden])
    filled = completions.masked_scatter(hidden, found.top)
    return filled.view(len(rollout.tokens), -1, width).expand_as(rollout.tokens)  # a shared one for all


def _canvas(policy: Policy, rollout: Rollout, draw: Draw) -> tuple[Tensor, Tensor]:
    """([B, L] ids, [B, Q] prompt mask) of one draw, for its P or P * G canvases."""
    width, canvases = rollout.tokens.shape[-1], draw.masked.shape[1]
    visible = rollout.tokens[:, :canvases].reshape(-1, width)
    ids, prompt_mask = (
        part.repeat_interleave(canvases, 0) for part in (rollout.prompt_ids, rollout.prompt_mask)
    )
    if draw.prompt_masked is not None:
        ids = ids.masked_fill(draw.prompt_masked.flatten(0, 1), policy.mask_id)
    masked = draw.masked.reshape(-1, width)
    return torch.cat([ids, visible.masked_fill(masked, policy.mask_id)], dim=1), prompt_mask


def _read(
    policy: Policy, rollout: Rollout, draw: Draw, entropy: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """([P, G, C] logps, [P, G, C] scored, [P, G, C] entropy or None) of one draw."""
    prompts, group, width = rollout.tokens.shape
    shared = group // draw.masked.shape[1]  # completions that are read from one canvas
    canvas, prompt_mask = _canvas(policy, rollout, draw)
    scored = draw.scored.reshape(-1, width)
    positions = torch.cat([torch.zeros_like(prompt_mask), scored], dim=1)
    # [P * canvases, C, shared]: the tokens that each position is asked about.
    asked = rollout.tokens.view(-1, shared, width).transpose(1, 2)
    found = policy(
        canvas, attention_of(prompt_mask, width), positions, targets=asked[scored], entropy=entropy
    )

    def spread(values: Tensor) -> Tensor:  # [N, shared] to [P, G, C], 0 where not scored
        where = scored.unsqueeze(-1).expand(-1, -1, shared)
        whole = torch.zeros(where.shape, dtype=values.dtype, device=values.device)
        return whole.masked_scatter(where, values).transpose(1, 2).reshape(prompts, group, width)

    nats = spread(found.entropy.unsqueeze(-1).expand(-1, shared)) if entropy else None
    return spread(found.logps), draw.scored.expand(prompts, group, width), nats

"""Model calls of a run, counted by running its own sampler and estimator on a policy that only counts.

Nothing here knows how a sampler or an estimator works: one that is named in a config is counted as well
as those of this package.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..models.head import TokenScores, token_scores
from ..types import RolloutBatch

_EOS, _TOKEN, _MASK = range(3)


@dataclass(frozen=True)
class Calls:
    """Model calls of some piece of work.

    Attributes:
        forwards: Calls.
        rows: Canvases, summed over the calls.
        positions: Positions that reached the output head, summed over the calls.
        largest: Most positions of one call.
    """

    forwards: int = 0
    rows: int = 0
    positions: int = 0
    largest: int = 0

    def __add__(self, other: Calls) -> Calls:
        return Calls(
            self.forwards + other.forwards,
            self.rows + other.rows,
            self.positions + other.positions,
            max(self.largest, other.largest),
        )

    def __mul__(self, times: int) -> Calls:
        return Calls(self.forwards * times, self.rows * times, self.positions * times, self.largest)


class CountingPolicy(nn.Module):
    """A policy that always wants the same token, never the end of a sequence.

    Args:
        vocabulary: Width of its logits.
    """

    def __init__(self, vocabulary: int = 3, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.mask_id, self.eos_id, self.pad_id, self.stop_ids = _MASK, _EOS, _EOS, (_EOS,)
        self.vocabulary, self.dtype = vocabulary, dtype
        self.calls = Calls()
        self.anchor = nn.Parameter(
            torch.zeros((), dtype=torch.float32, device="cpu")
        )  # so that it has a device

    def forward(
        self,
        tokens: Tensor,
        attention: Tensor | None = None,
        positions: Tensor | None = None,
        targets: Tensor | None = None,
        entropy: bool = False,
    ) -> Tensor | TokenScores:
        count = tokens.numel() if positions is None else int(positions.sum())
        self.calls += Calls(1, len(tokens), count, count)
        logits = torch.full((count, self.vocabulary), -torch.inf, dtype=self.dtype, device=tokens.device)
        logits[:, _TOKEN] = 0
        if targets is not None:
            return token_scores(logits, targets, entropy)
        return logits if positions is not None else logits.view(*tokens.shape, -1)


def of_sampling(sampler, policy: CountingPolicy | None = None) -> Calls:
    """One completion, if it fills its whole canvas; rows that are sampled together share their calls."""
    policy = policy or CountingPolicy()
    canvas = torch.full((1, 1 + sampler.length), _MASK, dtype=torch.long, device=policy.anchor.device)
    canvas[:, 0] = _TOKEN
    sampler(policy, canvas, None, [0])
    return policy.calls


def of_estimate(logprobs, prompts: int, group_size: int, width: int) -> Calls:
    """One pass of an estimator over ``prompts`` groups."""
    policy = CountingPolicy()
    logprobs(policy, _window(prompts, group_size, width), 0)
    return policy.calls


def _window(prompts: int, group_size: int, width: int) -> RolloutBatch:
    """A rollout of nothing, of the right shape."""
    shape = (prompts, group_size, width)
    whole, real, yes = (
        {"dtype": dtype, "device": "cpu"} for dtype in (torch.long, torch.float32, torch.bool)
    )
    flags = torch.ones(shape, **yes)
    return RolloutBatch(
        prompt_ids=torch.full((prompts, 1), _TOKEN, **whole),
        prompt_mask=torch.ones(prompts, 1, **yes),
        completions=torch.full(shape, _TOKEN, **whole),
        hint_mask=~flags,
        rewards=torch.zeros(shape[:2], **real),
        correct=flags[..., 0],
        advantages=torch.zeros(shape[:2], **real),
        loss_mask=flags,
        old_logps=torch.zeros(1, *shape, **real),
        ref_logps=None,
        keep=flags[None],
        seeds=torch.arange(prompts, **whole),
    )


@dataclass(frozen=True)
class Load:
    """A kind of work that one process does again and again.

    Attributes:
        name: For people.
        calls: Of one time.
        times: In the whole run.
        grad: Whether it has a backward pass.
        columns: Width of its canvases.
        optional: It is an upper bound: at best none of it is needed.
    """

    name: str
    calls: Calls
    times: int
    columns: int
    grad: bool = False
    optional: bool = False

"""The border between log-probabilities and losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from torch import Tensor

from ...checks import ConfigError


@dataclass(frozen=True)
class LossInputs:
    """All that a policy loss may look at: a micro-batch of P prompts, G completions, D draws, C tokens.

    An update learns from the mean of the losses of its micro-batches over all processes. A loss that
    normalises by the whole update divides by its totals and multiplies by ``parts``.

    Attributes:
        logps: [P, G, D, C] current log-probs, with gradient; 0 where a draw does not score a token.
        old: [P, G, D, C] under the policy that sampled.
        ref: [P, G, D, C] under the reference, or None unless the loss ``needs_reference``.
        mask: [P, G, D, C] bool, True exactly on what carries gradient: scored, inside the completion, and
            not filtered out. A loss touches nothing outside it, unless it is told to use ``unfiltered``.
        unfiltered: [P, G, D, C] bool, True also on what the token filter left out.
        weight: [P, G, D, C] float32 of the draws' tokens; None: all 1.
        advantages: [P, G] or [P, G, C].
        rewards: [P, G].
        update_tokens: [] float32, True entries of ``mask`` in the whole update, on all processes.
        parts: Micro-batches of the whole update, on all processes.
        update_weight: [] float32, sum of ``weight`` over the same entries; None: all weights are 1.
        hint_mask: [P, G, 1, C] bool, True on hints; None: nobody asks.
    """

    logps: Tensor
    old: Tensor
    ref: Tensor | None
    mask: Tensor
    unfiltered: Tensor
    weight: Tensor | None
    advantages: Tensor
    rewards: Tensor
    update_tokens: Tensor
    parts: int
    hint_mask: Tensor | None = None
    update_weight: Tensor | None = None

    @property
    def reference(self) -> Tensor:
        """``ref``, of a loss that ``needs_reference``."""
        assert self.ref is not None
        return self.ref

    def per_completion(self) -> Tensor:
        """[P, G] advantages.

        Raises:
            ConfigError: They differ from token to token.
        """
        if self.advantages.dim() != 2:
            raise ConfigError(
                "algo.advantage: algo.loss takes one advantage of each completion, not of each token"
            )
        return self.advantages

    def combined(self) -> LossInputs:
        """The same in one draw: a token's log-probs are the weighted sums over the draws that score it.

        Its weight is the number of these, so that means over tokens and ``update_tokens`` stay as they are.
        """
        counted = self.unfiltered.sum(2, keepdim=True)

        def total(values: Tensor | None) -> Tensor | None:
            if values is None:
                return None
            weighted = values if self.weight is None else values * self.weight
            return weighted.masked_fill(~self.unfiltered, 0.0).sum(2, keepdim=True)

        return replace(
            self,
            logps=total(self.logps),
            old=total(self.old),
            ref=total(self.ref),
            mask=self.mask.any(2, keepdim=True),
            unfiltered=counted > 0,
            weight=counted.to(self.logps.dtype),
            update_weight=None,
        )


class Share(NamedTuple):
    """A metric that is a part of a whole. Over micro-batches and processes both are summed, then divided."""

    part: Tensor  # []
    whole: Tensor  # []

    def __float__(self) -> float:
        return float(self.part) / (float(self.whole) or 1.0)


class PolicyLoss(Protocol):
    """A loss: (scalar with gradient, metrics without).

    A metric is a tensor [] on the device, of which an update has the mean over its micro-batches (the
    smallest of ``*_min``, the largest of ``*_max``), or a :class:`Share`.
    """

    needs_reference: bool
    # takes_token_advantages = False: those of a completion only. May be left out.

    def __call__(self, x: LossInputs) -> tuple[Tensor, dict[str, Tensor | Share]]: ...

"""A step's distributions over the vocabulary, and what is read of them, without a float64 copy."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

_PART = 512  # tokens that are summed before sums are compared; LLaDA's vocabulary is 247 of these


class Distribution:
    """N categorical distributions over V tokens, given by their logits.

    Sums are taken in float64 of float32 terms: where a token is nearly certain, float32 says 1 of all of
    them, and the order of unmasking would be that of their columns.

    Args:
        logits: [N, V] float32, -inf where a token can't come.
    """

    def __init__(self, logits: Tensor):
        self.logits = logits

    @cached_property
    def top(self) -> tuple[Tensor, Tensor]:
        """Largest logits [N] float32, and their ids [N] int64."""
        values, ids = self.logits.max(-1)
        return values, ids

    @cached_property
    def _terms(self) -> Tensor:
        """[N, V] float32: exp(logit - largest logit)."""
        return (self.logits - self.top[0][:, None]).exp_()

    @cached_property
    def _parts(self) -> Tensor:
        """[N, ⌊V / 512⌋ + 1] float64 sums of so many terms; the last one of those that are left."""
        return _part_sums(self._terms)

    @cached_property
    def _rest(self) -> Tensor:
        """[N] float64: the sum of all terms but the largest, which is 1."""
        return (self._parts.sum(-1) - 1.0).clamp_(min=0.0)

    def log_probability(self, ids: Tensor) -> Tensor:
        """[N] float64 log-probabilities of the tokens ``ids`` [N]."""
        chosen = self.logits.gather(-1, ids[:, None])[:, 0]
        return (chosen - self.top[0]).double() - self._rest.log1p()

    def entropy(self) -> Tensor:
        """[N] float64, in nats."""
        spread = torch.special.entr(self._terms).sum(-1, dtype=torch.float64)
        return self._rest.log1p() + spread / (1.0 + self._rest)

    def margin(self) -> Tensor:
        """[N] float64: by how much the likeliest token's probability is above the next one's."""
        second = self.logits.topk(2, dim=-1).values[:, 1]
        return (1.0 - (second - self.top[0]).double().exp()) / (1.0 + self._rest)

    def draw(self, temperature: float, uniform: Tensor) -> Tensor:
        """[N] ids from softmax(logits / temperature), by inverting its distribution function at ``uniform``.

        Args:
            temperature: 0 gives the likeliest token.
            uniform: [N] float64 in [0, 1).
        """
        if temperature == 0:
            return self.top[1]
        if temperature == 1:
            terms, parts = self._terms, self._parts
        else:
            terms = ((self.logits - self.top[0][:, None]) / temperature).exp_()
            parts = _part_sums(terms)
        sums = parts.cumsum(-1)
        wanted = (uniform * sums[:, -1])[:, None]
        part = _first_above(sums, wanted)
        wanted = wanted - torch.where(part > 0, sums.gather(-1, (part - 1).clamp(min=0)), 0.0)
        columns = part * _PART + torch.arange(_PART, dtype=torch.long, device=terms.device)
        within = terms.gather(-1, columns.clamp(max=terms.shape[-1] - 1)).double()
        within = within.masked_fill(columns >= terms.shape[-1], 0.0).cumsum(-1)
        return (part * _PART + _first_above(within, wanted))[:, 0]


def _part_sums(terms: Tensor) -> Tensor:
    whole = terms.shape[-1] // _PART * _PART  # padding the rest would copy all
    parts = terms[:, :whole].unflatten(-1, (-1, _PART)).sum(-1, dtype=torch.float64)
    return torch.cat([parts, terms[:, whole:].sum(-1, keepdim=True, dtype=torch.float64)], dim=-1)


def _first_above(sums: Tensor, wanted: Tensor) -> Tensor:
    """[N, 1]: the first of the growing ``sums`` [N, K] that is above ``wanted`` [N, 1].

    Where by rounding none is, the first of the largest: what comes behind it has no probability.
    """
    found = torch.searchsorted(sums, wanted, right=True)
    return torch.minimum(found, (sums < sums[:, -1:]).sum(-1, keepdim=True))

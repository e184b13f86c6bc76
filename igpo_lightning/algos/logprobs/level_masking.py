"""Monte Carlo estimates of the ELBO: tokens are read where they were masked, at levels of some law."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from ...checks import choice, interval, not_negative, positive_int
from .levels import LAWS, exact_counts
from .planned import Completion, Plan, Planned


class LevelMasking(Planned):
    """Masks at ``levels`` levels t, each with its complement if ``complement``.

    With weights, the sum over draws and tokens of weight · log p estimates the ELBO of a completion.

    Args:
        levels: Levels of an iteration.
        law: Where they lie: "uniform", "stratified" or "quadrature" (:mod:`.levels`).
        between: [lowest, highest] level; the law's (0, 1) is mapped onto it.
        exact: Mask exactly ⌈tn⌉ of n tokens, a random subset (1 … n of them; with complements 0 … n), and not
            each with probability t. GDPO's code has ⌊tn⌋.
        complement: Also show the opposite mask, the antithetic draw: every token is then scored once for
            each level (coupled-GRPO, arXiv 2506.20639; ESPO; DMPO).
        weight: "one"; "level", an ELBO's 1/t, and 1/(1-t) for the complement; or "count", n over the
            tokens that came to be masked, so that each draw weighs the same (DMPO).
        full: Weight of one more draw, with everything masked (coupled-GRPO: 0.5); 0: no such draw.
        tail: Columns after a completion's end: masked like all others at "random", "hidden" or "visible".
    """

    def __init__(
        self,
        levels: int = 1,
        law: str = "uniform",
        between: Sequence[float] = (0.0, 1.0),
        exact: bool = True,
        complement: bool = False,
        weight: str = "level",
        full: float = 0.0,
        tail: str = "random",
    ):
        self.levels = positive_int("algo.logprobs.levels", levels)
        self.law = LAWS[choice("algo.logprobs.law", law, *LAWS)]
        self.low, self.high = interval("algo.logprobs.between", between, 0.0, 1.0)
        self.exact, self.complement = exact, complement
        self.weight = choice("algo.logprobs.weight", weight, "one", "level", "count")
        self.full = not_negative("algo.logprobs.full", full)
        self.tail = choice("algo.logprobs.tail", tail, "random", "hidden", "visible")

    def count(self, width: int) -> int:
        return (self.full > 0) + self.levels * (1 + self.complement)

    def plan(self, completion: Completion) -> Plan:
        width = completion.width
        size = width if self.tail == "random" else completion.length
        laws = self.law(self.levels, completion)
        levels = [self.low + (self.high - self.low) * u for u, _ in laws]
        masked, levels = self._masks(levels, size, completion.rng("mask"))
        if self.complement:
            masked = torch.stack([masked, ~masked], 1).flatten(0, 1)
        shares = [share / (1 + self.complement) for _, share in laws for _ in range(1 + self.complement)]
        counts = masked.sum(-1).tolist()
        weights = [self._weight(*drawn, size) for drawn in zip(levels, counts, shares, strict=True)]
        if self.full > 0:
            masked, weights = torch.cat([torch.ones_like(masked[:1]), masked]), [self.full, *weights]
        scored = pad(masked, (0, width - size))
        hidden = scored if self.tail != "hidden" else pad(masked, (0, width - size), value=True)
        return Plan(hidden, scored, None if self.weight == "one" else weights)

    def _masks(
        self, levels: Sequence[float], size: int, rng: torch.Generator
    ) -> tuple[Tensor, Sequence[float]]:
        """[K, size] masks at K levels; the level that each, and after it its complement, stands for."""
        noise = torch.rand(len(levels), size, generator=rng, dtype=torch.float32, device="cpu")
        if self.exact:
            numbers, stands = exact_counts(levels, size, self.complement)
            bounds = torch.tensor(numbers, dtype=torch.long, device="cpu").unsqueeze(1)
            return noise.argsort(-1).argsort(-1) < bounds, stands
        bounds = torch.tensor(levels, dtype=torch.float32, device="cpu").unsqueeze(1)
        return noise < bounds, [t for level in levels for t in (level, 1 - level)[: 1 + self.complement]]

    def _weight(self, level: float, masked: int, share: float, size: int) -> float:
        if masked == 0:
            return 0.0
        return share * (size / masked if self.weight == "count" else 1 / level)

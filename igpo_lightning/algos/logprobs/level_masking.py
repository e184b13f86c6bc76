"""Monte Carlo estimates of the ELBO: tokens are read where they were masked, at levels of some law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...checks import choice, interval, not_negative, positive_int
from .levels import LAWS
from .planned import Canvas, Completion, Planned


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

    def plan(self, completion: Completion) -> list[Canvas]:
        columns = torch.arange(completion.width, dtype=torch.long, device="cpu")
        size = completion.width if self.tail == "random" else completion.length
        inside, after = columns < size, (columns >= size) & (self.tail == "hidden")
        canvases = []
        if self.full > 0:
            canvases.append(Canvas(inside | after, inside, None if self.weight == "one" else self.full))
        for d, (u, share) in enumerate(self.law(self.levels, completion)):
            masked, level, rest = self._mask(self.low + (self.high - self.low) * u, size, completion, d)
            masked = torch.nn.functional.pad(masked, (0, completion.width - size))
            pair = [(masked, level), (inside & ~masked, rest)][: 1 + self.complement]
            for scored, t in pair:
                weight = self._weight(t, int(scored.sum()), size, share / len(pair))
                canvases.append(Canvas(scored | after, scored, weight))
        return canvases

    def _mask(self, t: float, size: int, completion: Completion, d: int) -> tuple[Tensor, float, float]:
        """A mask, [size] bool, and the levels that it and its complement stand for."""
        noise = torch.rand(size, generator=completion.rng("mask", d), dtype=torch.float32, device="cpu")
        if not self.exact:
            return noise < t, t, 1 - t
        # Of a pair, 0 and n tokens must be masked as often as any other number, and the weights are then
        # (n+1)/k and (n+1)/(n-k): with n/k the complement's estimate would miss the full mask (ESPO).
        counts = size + 1 if self.complement else size
        number = min(int(t * counts), size) if self.complement else max(1, math.ceil(t * counts))
        return noise.argsort().argsort() < number, number / counts, (size - number) / counts

    def _weight(self, level: float, masked: int, size: int, share: float) -> float | None:
        if self.weight == "one":
            return None
        if masked == 0:
            return 0.0
        return share * (size / masked if self.weight == "count" else 1 / level)

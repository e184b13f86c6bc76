"""Laws of the masking levels t in (0, 1) at which an ELBO's integral over t is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from ...seeding import torch_rng
from .planned import Completion


def uniform(count: int, completion: Completion) -> list[tuple[float, float]]:
    """Independent levels t ~ U(0, 1)."""
    drawn = torch.rand(count, generator=completion.rng("level"), dtype=torch.float64, device="cpu")
    return [(t, 1 / count) for t in drawn.tolist()]


def stratified(count: int, completion: Completion) -> list[tuple[float, float]]:
    """Levels at equal distances from one random offset, over the draws and over the group.

    A completion's own are 1 / count apart, as BGPO has them over the draws (arXiv 2510.11683); those of the
    whole group are 1 / (count · G) apart, as ESPO has them over a batch (arXiv 2512.03759). Each is U(0, 1).
    """
    rng = torch_rng(completion.seed, "level", completion.iteration)
    offset = float(torch.rand((), generator=rng, dtype=torch.float64, device="cpu"))
    strata = (d * completion.group + completion.g for d in range(count))
    return [((offset + stratum / (count * completion.group)) % 1, 1 / count) for stratum in strata]


def quadrature(count: int, completion: Completion) -> list[tuple[float, float]]:
    """The nodes and weights of Gauss and Legendre on [0, 1] (GDPO, arXiv 2510.08554): no randomness.

    By Golub and Welsch: nodes are the eigenvalues of the Jacobi matrix of the Legendre polynomials.
    """
    k = torch.arange(1, count, dtype=torch.float64, device="cpu")
    beside = k / (4 * k**2 - 1).sqrt()
    nodes, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    return list(zip(((nodes + 1) / 2).tolist(), (vectors[0] ** 2).tolist(), strict=True))


LAWS: dict[str, Callable[[int, Completion], list[tuple[float, float]]]] = {
    "uniform": uniform, "stratified": stratified, "quadrature": quadrature,
}  # fmt: skip
"""Name → (draws, completion) → (level, its share of the estimate) of each draw; the shares sum to 1."""


def exact_counts(levels: Sequence[float], size: int, paired: bool) -> tuple[list[int], list[float]]:
    """Numbers of ``size`` tokens to mask at given levels, and the level that each stands for.

    Of a pair, 0 and n tokens must be masked as often as any other number; the weights are then (n+1)/k and
    (n+1)/(n-k). With n/k the complement's estimate would miss the full mask (ESPO).

    Returns:
        (k of each level; k/n, or of pairs k/(n+1) and after it the complement's (n-k)/(n+1)).
    """
    if not paired:
        numbers = [max(1, math.ceil(t * size)) for t in levels]
        return numbers, [k / size for k in numbers]
    numbers = [min(int(t * (size + 1)), size) for t in levels]
    return numbers, [n / (size + 1) for k in numbers for n in (k, size - k)]

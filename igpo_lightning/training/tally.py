"""Metrics of an update, gathered from its micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..algos.losses import Share
from ..distributed import reduce

_WHOLE = "\N{DIVISION SIGN}"  # marks the wholes of shares


class Tally:
    """Keeps the metrics of micro-batches where they are; one transfer when they are read.

    By its name a metric is the smallest (``*_min``) or the largest (``*_max``) of its micro-batches and
    processes, else their mean. A :class:`Share` is the sum of its parts over the sum of its wholes, and is
    left out where these are 0.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}

    def add(self, metrics: Mapping[str, Tensor | float | Share]) -> None:
        """Remember a micro-batch's metrics; waits for no device."""
        for name, value in metrics.items():
            pair = (
                {name: value.part, name + _WHOLE: value.whole} if isinstance(value, Share) else {name: value}
            )
            for key, number in pair.items():
                kept = number.detach() if isinstance(number, Tensor) else number
                self._values.setdefault(key, []).append(kept)

    def local(self) -> dict[str, float]:
        """This process's metrics so far."""
        return _divided(self._means())

    def everyone(self, device: torch.device) -> dict[str, float]:
        """The metrics of all processes; a collective."""
        mine = self._means()
        signs = {name: sign for name in mine if (sign := _sign(name))}
        return _divided(over_processes(mine, signs, device))

    def pop(self, name: str) -> float | None:
        """A metric of this process, which is then forgotten."""
        value = self.local().get(name)
        self._values.pop(name, None)
        return value

    def clear(self) -> None:
        self._values.clear()

    def _means(self) -> dict[str, float]:
        self._fetch()
        gather = {-1: min, 1: max, 0: lambda values: sum(values) / len(values)}
        return {name: gather[_sign(name)](values) for name, values in self._values.items()}

    def _fetch(self) -> None:
        """Replace all tensors by their numbers."""
        waiting = [v for values in self._values.values() for v in values if isinstance(v, Tensor)]
        if not waiting:
            return
        numbers = iter(
            torch.stack([value.to(waiting[0].device, torch.float64) for value in waiting]).tolist()
        )
        for name, values in self._values.items():
            self._values[name] = [next(numbers) if isinstance(v, Tensor) else float(v) for v in values]


def over_processes(
    metrics: Mapping[str, float], signs: Mapping[str, int], device: torch.device
) -> dict[str, float]:
    """``metrics`` of all processes: their means, or the smallest (sign -1) or largest (1); a collective."""
    plain, ends = ([name for name in metrics if (name in signs) == signed] for signed in (False, True))
    means = reduce([metrics[name] for name in plain], "mean", device)
    extremes = reduce([signs[name] * metrics[name] for name in ends], "max", device)
    found = dict(zip(plain, means, strict=True))
    found |= {name: signs[name] * value for name, value in zip(ends, extremes, strict=True)}
    return {name: found[name] for name in metrics}


def _sign(name: str) -> int:
    return -1 if name.endswith("_min") else int(name.endswith("_max"))


def _divided(values: Mapping[str, float]) -> dict[str, float]:
    """Shares, of their parts and wholes; all else as it is."""
    result = {}
    for name, value in values.items():
        whole = values.get(name + _WHOLE)
        if whole is None and not name.endswith(_WHOLE):
            result[name] = value
        elif whole:
            result[name] = value / whole
    return result

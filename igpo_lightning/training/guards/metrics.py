"""Guards over the metrics of an update: a policy that runs off, or that trains on other numbers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer

from ...checks import ConfigError, positive_int
from ...distributed import reduce
from .base import WARN, Action, Guard

# The ratio of a rollout's first update is 1 by construction: it says nothing.
_OF_RATIO = ("clip_fraction", "ratio_max")


@dataclass(frozen=True)
class Bounds:
    """A metric is too high above ``limit``, and above ``factor`` times its running median.

    The latter only above ``floor``: a KL that grows from 0 is soon many times its median.
    """

    limit: float
    factor: float | None = None
    floor: float = 0.0

    def broken_by(self, value: float, median: float | None) -> str | None:
        """In words, what ``value`` exceeds."""
        if value > self.limit:
            return f"above {self.limit:g}"
        if self.factor and median is not None and value > max(self.floor, self.factor * median):
            return f"{value / median if median else math.inf:.0f} times its median {median:.3g}"
        return None


class ExplodingMetric(Guard):
    """Alarm when a metric of the update was too high for several updates in a row.

    A single rare token can make the k3 estimate of the KL, and the largest ratio, huge, and does so
    in every update of its rollout: one rollout alone raises no alarm.

    Args:
        metrics: Name as in ``train/<name>`` → arguments of :class:`Bounds`; null leaves one out.
        updates: So many in a row, and in at least two rollouts.
        history: Updates that the running median is taken over; it takes a fifth of them to begin.
    """

    name = "exploding_metric"
    remembers = ("past", "streaks")

    def __init__(
        self,
        metrics: Mapping[str, Mapping[str, float] | None],
        action: Action = WARN,
        updates: int = 5,
        history: int = 100,
        repeat_every: int = 10,
    ) -> None:
        super().__init__(action, repeat_every)
        try:
            self.bounds = {name: Bounds(**bounds) for name, bounds in metrics.items() if bounds is not None}
        except TypeError as error:
            raise ConfigError(
                f"callbacks.{self.name}.metrics={metrics}: expected limit, factor and floor of each"
            ) from error
        self.updates = positive_int(f"callbacks.{self.name}.updates", updates)
        self.history = positive_int(f"callbacks.{self.name}.history", history)
        self.past: dict[str, list[float]] = {}
        self.streaks: dict[str, list[Any]] = {}  # name -> [updates in a row, rollout of the first]
        self._first_update_of: int | None = None

    def inspect_rollout(self, trainer: Trainer, pl_module: Any, batch: Any) -> None:
        self._first_update_of = trainer.global_step

    def inspect_update(self, trainer: Trainer, pl_module: Any) -> str | None:
        measured = pl_module.update_metrics()
        left_out = _OF_RATIO if trainer.global_step == self._first_update_of else ()
        names = [name for name in self.bounds if name not in left_out]
        # A process may have none of a metric that another has, and all must reduce as many numbers.
        mine = [measured.get(name, -math.inf) for name in names]
        highest = zip(names, reduce(mine, "max", pl_module.device), strict=True)
        findings = [self._judge(name, value) for name, value in highest if value != -math.inf]
        return "; ".join(filter(None, findings)) or None

    def _judge(self, name: str, value: float) -> str | None:
        past = self.past.get(name, [])
        median = statistics.median(past) if 5 * len(past) >= self.history else None
        broken = self.bounds[name].broken_by(value, median)
        if not math.isnan(value):  # a NaN is FiniteGuard's business
            self.past[name] = [*past, value][-self.history :]
        if not broken:
            self.streaks.pop(name, None)
            return None
        count, first = self.streaks.get(name, [0, self.rollout])
        self.streaks[name] = [count + 1, first]
        in_one_rollout = self.rollout is not None and first == self.rollout
        if count + 1 < self.updates or in_one_rollout:
            return None
        return (
            f"train/{name} is {value:.3g}, {broken}, for {count + 1} updates in a row: the policy is running "
            "away; a lower algo.optimizer.lr, fewer algo.num_iterations or a larger algo.loss.beta "
            "hold it back"
        )

    def reset(self) -> None:
        self.streaks = {}


class LogProbDrift(Guard):
    """Alarm when training does not see the log-probs that sampling saw.

    Before a rollout's first update the policy is the one that sampled, so every importance ratio is 1
    and ``rollout/drift_max``, the largest |log p - log p_old| of a kept token, is 0 up to rounding.
    If it is not, the two passes differ in something else: dropout, precision, the shape of the
    batch, adapters on in one and off in the other, weights that were not gathered.

    Args:
        tolerance: Nats, where the policy computes in float32.
        tolerance_16bit: Nats, with 16-bit precision. The rounding is the same in both passes, so that a
            healthy run has 0.0 there as well; one that isn't differs by whole steps of the logits.
    """

    name = "logprob_drift"

    def __init__(
        self,
        action: Action = WARN,
        tolerance: float = 1e-3,
        tolerance_16bit: float = 4e-3,
        repeat_every: int = 10,
    ) -> None:
        super().__init__(action, repeat_every)
        self.tolerance, self.tolerance_16bit = tolerance, tolerance_16bit

    def inspect_update(self, trainer: Trainer, pl_module: Any) -> str | None:
        drift = pl_module.update_metrics().get("drift_max")
        if drift is None:  # not a rollout's first update
            return None
        [worst] = reduce([drift], "max", pl_module.device)
        allowed = self.tolerance_16bit if "16" in str(trainer.precision) else self.tolerance
        if not worst > allowed:
            return None
        return (
            f"before the rollout's first update, log-probs differ by up to {worst:.3g} nats from those of "
            f"the policy that sampled (allowed: {allowed:g}): dropout, precision, batch shape or adapters "
            "are not the same in sampling and training"
        )

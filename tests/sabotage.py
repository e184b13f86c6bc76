"""Parts that go wrong at a chosen moment, for the guards to notice."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

import torch
from fakes import HashReward
from lightning.pytorch.callbacks import Callback

from igpo_lightning.algos.losses import ClippedSurrogate


class BadLoss(ClippedSurrogate):
    """NaN, with its gradient, in the calls ``bad`` (from 0); on process ``rank`` only, if that is given."""

    def __init__(self, bad: Collection[int], rank: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.bad, self.rank, self.calls = set(bad), rank, 0

    def __call__(self, inputs: Any) -> Any:
        loss, metrics = super().__call__(inputs)
        if self.calls in self.bad and self.rank in (None, _rank()):
            loss = loss * torch.nan
        self.calls += 1
        return loss, metrics


class AdamWWithout(torch.optim.AdamW):
    """AdamW that leaves out the updates ``without`` (from 0): gradients are computed and not looked at."""

    def __init__(self, params: Any, without: Collection[int], **options: Any) -> None:
        super().__init__(params, **options)
        self.without, self.updates = set(without), 0

    def step(self, closure: Any = None) -> Any:
        self.updates += 1
        return closure() if self.updates - 1 in self.without else super().step(closure)


class HangingReward(HashReward):
    """Waits for ever for a lock, from the call ``at`` (from 0) on, if this is process ``rank``."""

    def __init__(self, at: int, rank: int = 0) -> None:
        super().__init__()
        self.at, self.rank, self.calls = at, rank, 0

    def __call__(self, problems: Any, completions: Any) -> Any:
        if self.calls == self.at and self.rank == _rank():
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        self.calls += 1
        return super().__call__(problems, completions)


class DropoutOn(Callback):
    """Switches dropout of the attention weights on again, after the module has switched it off."""

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __repr__(self) -> str:
        return f"dropout {self.probability}"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        for part in module.policy.modules():
            if hasattr(part, "attention_dropout"):
                part.attention_dropout = self.probability


class SamplingWithoutAutocast(Callback):
    """Samples in another precision than the one that is trained in."""

    def __repr__(self) -> str:
        return "sampling in float32"

    def on_train_start(self, trainer: Any, module: Any) -> None:
        engine = trainer.datamodule.engine
        run = engine.run

        def without(*args: Any) -> Any:
            with torch.autocast(module.device.type, enabled=False):
                return run(*args)

        engine.run = without


class Drifts(Callback):
    """Remembers ``rollout/drift_max`` of each window."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        if (drift := module.update_metrics().get("drift_max")) is not None:
            self.values.append(drift)


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0

"""A small model's run, rehearsed: one window and one pass of updates, timed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate

from ..data import RolloutDataModule
from ..evaluation.decoding import decode
from ..models import Policy
from ..rollout import Keep, RolloutEngine
from ..types import Prompt, RolloutBatch
from .loads import can_sample_again
from .plan import Plan, attach, training_prompts
from .timing import Stopwatch, device_of
from .work import Load, of_sampling

_AFFORDABLE = 6.0  # seconds that one timed piece may take; a longer one is scaled up from fewer prompts
_DECODED = 64  # prompts, at most
_FEW = 2  # prompts of a first try


@dataclass(frozen=True)
class Piece:
    """Seconds of something that the run does ``times`` times.

    Attributes:
        optional: At best none of it is needed.
    """

    name: str
    seconds: float
    times: int
    optional: bool = False

    @property
    def total(self) -> float:
        return self.seconds * self.times


def rehearse(plan: Plan, loads: Sequence[Load], make_policy: Callable[[], Policy]) -> list[Piece]:
    """Time the real steps of ``plan``, on a policy that is thrown away."""
    rehearsal = _Rehearsal(plan, loads, make_policy())
    try:
        return rehearsal.pieces()
    finally:
        attach(plan.module, plan.datamodule, plan.placement)


class _Rehearsal:
    def __init__(self, plan: Plan, loads: Sequence[Load], policy: Policy):
        self.plan, self.loads, self.data = plan, {load.name: load for load in loads}, plan.datamodule
        self.device = device_of(plan.placement)
        self.watch = Stopwatch(self.device)
        self.policy = policy.to(self.device, plan.placement.cast)
        self.module = instantiate(plan.cfg.algo.module, policy=self.policy).train()
        attach(self.module, self.data, plan.placement)

    def pieces(self) -> list[Piece]:
        steps = self._rollouts() if isinstance(self.data, RolloutDataModule) else self._supervised()
        return [*steps, *self._decoding()]

    def _rollouts(self) -> list[Piece]:
        data, prompts = self.data, self._first_step()
        plain = copy.copy(data.engine)
        plain.intervention = Keep()
        count = self._affordable(lambda n: self._window(plain, prompts[:n])[0], len(prompts))
        scale, prompts = len(prompts) / count, prompts[:count]
        first, batch = self._window(plain, prompts)
        pieces = [Piece("first tries and log-probs of a window", first * scale, data.windows)]
        if can_sample_again(data.engine):
            both, again = self._window(data.engine, prompts)
            share = again.metrics["resampled"] / batch.rewards.numel()
            second = max(both - first, 0.0) / share if share else first
            pieces.append(Piece("second tries, if all groups need them", second * scale, data.windows, True))
        step = data.step_size
        slots = [batch.rows(start, start + step, slot=1) for start in range(0, count, step)]
        update = self._updates(slots) * scale
        return [*pieces, Piece("a pass of updates", update, data.windows * data.inner_updates)]

    def _window(self, engine: RolloutEngine, prompts: Sequence[Prompt]) -> tuple[float, RolloutBatch]:
        made: list[RolloutBatch] = []

        def run() -> None:
            with self._lower():
                made.append(engine.run(self.policy, prompts, 0))

        return min(self.watch.once(run), self.watch.once(run)), made[0].to(self.device)

    def _affordable(self, timed: Callable[[int], float], all_of_them: int) -> int:
        """So many prompts as take little enough time."""
        timed(_FEW)  # starts the verifier's process
        return min(all_of_them, max(_FEW, int(_AFFORDABLE / timed(_FEW) * _FEW)))

    def _supervised(self) -> list[Piece]:
        data = self.data
        batch = data.collate(self._first_step(), self.device)
        pieces = [Piece("micro-batches", self._updates([batch] * 3) / 3, data.steps * data.slots)]
        if (load := self.loads.get("loss on held-out rows")) is not None:
            with torch.no_grad(), self._lower():
                one = self.watch(lambda: self.module.compute_loss(batch))
            pieces.append(Piece("held-out loss", one * load.calls.rows / data.step_size, load.times))
        return pieces

    def _updates(self, batches: Sequence[Any]) -> float:
        """Seconds of a pass over ``batches`` that ends in one update."""
        optimizer = self.module.make_optimizer([p for p in self.policy.parameters() if p.requires_grad])

        def run() -> None:
            for batch in batches:
                with self._lower():
                    loss = self.module.compute_loss(batch)
                loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return self.watch(run)

    def _decoding(self) -> list[Piece]:
        loads = [load for name, load in self.loads.items() if name.startswith("decoding")]
        if not loads:
            return []
        module, prompts = self.module, list(training_prompts(self.data)[:_DECODED])

        def run(count: int) -> float:
            with self._lower():
                return self.watch.once(
                    lambda: decode(
                        self.policy, module.decoder, module.reward, prompts[:count], seed=module.seed
                    )
                )

        count = self._affordable(run, len(prompts))
        per_forward = run(count) / count / of_sampling(module.decoder).rows
        return [Piece(load.name, per_forward * load.calls.rows, load.times) for load in loads]

    def _first_step(self) -> list[Prompt]:
        prompts = training_prompts(self.data)
        return [prompts[i] for i in self.data.train_dataloader().steps[0].indices]

    def _lower(self) -> torch.autocast:
        lower = self.plan.placement.autocast
        return torch.autocast(self.device.type, lower or torch.bfloat16, enabled=lower is not None)

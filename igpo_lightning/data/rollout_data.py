"""The DataModule that samples: each Lightning batch is a micro-batch of a fresh rollout."""

from __future__ import annotations

import time
from typing import Any

import torch

from ..algos import Algorithm
from ..checks import ConfigError
from ..distributed import gather_objects, reduce
from ..hardware import forget_peak_memory
from ..rollout import RolloutEngine
from ..rollout.records import sample_records
from ..sample_record import SampleRecord
from ..types import Prompt, Rollout
from .base import ProblemDataModule
from .rollout_state import share
from .schedule import RolloutSchedule, RolloutStep, Sealed, StepLoader

_ADDED_UP = ("completions", "generated_tokens", "row_forwards", "num_tokens")


class RolloutDataModule(ProblemDataModule):
    """Runs the rollout engine at the first step of each rollout and replays it μ times.

    It stores no model: it samples through ``trainer.lightning_module.policy``, so the completions of a
    rollout come from exactly the weights that its first update will change.

    Args:
        algorithm: All the pieces; the same object as the module's.
        **common: See :class:`ProblemDataModule`.

    Attributes:
        rollout: The present one.
        step_size, slots: After ``setup("fit")``: prompts of a micro-batch, slices of so many in a pass.
        rollouts, updates: Then, too: rollouts and updates in the whole run.
    """

    def __init__(self, *, algorithm: Algorithm, **common: Any):
        super().__init__(algorithm=algorithm, **common)
        self.engine = RolloutEngine(algorithm)
        self.rollout: Rollout | None = None
        self._indices: tuple[int, ...] = ()
        self._totals: dict[str, float] = dict.fromkeys(_ADDED_UP, 0.0)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        schedule, algorithm = self._schedule(), self.algorithm
        updates = algorithm.updates_per_iteration
        if schedule.slots % updates:
            raise ConfigError(
                f"algo.updates_per_iteration={updates}: "
                f"must divide the {schedule.slots} micro-batches of a pass"
            )
        # Old log-probs are estimated in the batches of training: rounding then cancels in the ratio.
        self.engine.prompts_per_forward = schedule.step_size
        self.step_size, self.slots, self.rollouts = schedule.step_size, schedule.slots, schedule.rollouts
        self.updates = self.rollouts * algorithm.num_iterations * updates
        self._per_epoch = schedule.draws.per_epoch
        steps = schedule.slots * len(schedule.parts)
        self.pace(steps // updates, algorithm.validate_every * algorithm.num_iterations * steps)

    def _schedule(self) -> RolloutSchedule:
        trainer = self.trainer
        return RolloutSchedule(len(self._train), self.algorithm, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> StepLoader:
        schedule = self._schedule()
        steps = schedule.slots * len(schedule.parts)
        return self.step_loader(schedule, per_update=steps // self.algorithm.updates_per_iteration)

    def on_after_batch_transfer(self, batch: Sealed, dataloader_idx: int) -> Any:
        batch = batch.open()
        if not isinstance(batch, RolloutStep):
            return batch
        rollout = self.rollout
        if rollout is None or rollout.index != batch.rollout:
            rollout = self._generate(batch)
        return rollout.to(self.trainer.lightning_module.device).select(
            slice(batch.start, batch.stop), iteration=batch.iteration, part=batch.part, first=batch.first
        )

    def _generate(self, step: RolloutStep) -> Rollout:
        rows, schedule = list(step.indices), self._schedule()

        def spares(attempt: int) -> list[Prompt]:
            more = schedule.spares(step.rollout, attempt)
            rows.extend(more)
            return [self._train[i] for i in more]

        prompts = [self._train[i] for i in step.indices]
        forget_peak_memory(self.trainer.lightning_module.device)
        # Lightning turns autocast off in data hooks; sampling must see the precision of training.
        with self.trainer.precision_plugin.forward_context():
            rollout = self.engine.run(self.policy, prompts, step.rollout, spares)
        assert rollout.loss_mask is not None and rollout.candidate is not None
        rollout.version = self.trainer.global_step
        ended = time.perf_counter()
        # All processes meet here.
        rollout.update_tokens = self._of_updates(rollout.loss_mask.sum((1, 3)), rollout.draws)
        if rollout.kept_weight is not None:
            rollout.update_weight = self._of_updates(rollout.kept_weight, rollout.draws)
        rollout.metrics["time/wait"] = time.perf_counter() - ended
        for seen in gather_objects(self.engine.seen, self.trainer.lightning_module.device):
            self.engine.history.record(seen)
        self._indices = tuple(rows[i] for i in rollout.candidate.tolist())
        for name in self._totals:
            self._totals[name] += rollout.metrics[name]
        rollout.metrics.update(self._totals)
        self.rollout = rollout
        return rollout

    def _of_updates(self, kept: torch.Tensor, draws: int) -> torch.Tensor:
        """[P, μ or 1] float32: what [P, N] draws keep, summed over each prompt's update and all processes."""
        kept = kept.view(len(kept), -1, draws).sum(-1)
        updates = self.algorithm.updates_per_iteration
        mine = kept.view(updates, -1, kept.shape[1]).sum(1).flatten()  # prompts of an update stand together
        whole = reduce(mine.tolist(), "sum", mine.device)
        totals = torch.tensor(whole, dtype=torch.float32, device=mine.device).view(updates, -1)
        return totals.repeat_interleave(len(kept) // updates, 0)

    def epochs_seen(self, batch: Rollout) -> float:
        """Passes over the training set, up to and including the rollout of ``batch``."""
        return (batch.index + 1) / self._per_epoch

    def sample_records(self, count: int) -> list[SampleRecord]:
        """``count`` completions of the present rollout, inpainted ones first."""
        if self.rollout is None:
            return []
        prompts = [self._train[i] for i in self._indices]
        return sample_records(self.policy, prompts, self.rollout, count)

    def state_dict(self) -> dict[str, Any]:
        """The rollouts of all processes, so that any number of them can go on; a collective."""
        rollout = None if self.rollout is None else self.rollout.state_dict()
        mine = {
            "rollout": rollout,
            "indices": list(self._indices),
            "totals": dict(self._totals),
            "exact": self.engine.exact,
        }
        processes = gather_objects(mine, self.trainer.lightning_module.device)
        return {"processes": processes, "history": self.engine.history.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        updates, trainer = self.algorithm.updates_per_iteration, self.trainer
        mine = share(state_dict["processes"], updates, trainer.global_rank, trainer.world_size)
        self.rollout = None if mine["rollout"] is None else Rollout.from_state_dict(mine["rollout"])
        self._indices = tuple(mine["indices"])
        self.engine.exact = mine.get("exact", False)
        self.engine.history.load_state_dict(state_dict.get("history", {}))
        self._totals.update(mine["totals"])

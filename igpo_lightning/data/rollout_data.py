"""The DataModule that samples: each Lightning batch is a micro-batch of a fresh rollout window."""

from __future__ import annotations

from typing import Any

from ..checks import ConfigError, positive_int
from ..lockstep import gather_objects
from ..rollout import RolloutEngine
from ..rollout.records import sample_records
from ..types import RolloutBatch, SampleRecord
from .base import ProblemDataModule
from .schedule import RolloutSchedule, RolloutStep, Sealed, StepLoader
from .window_state import share


class RolloutDataModule(ProblemDataModule):
    """Runs the rollout engine at the first step of each window and replays the window μ times.

    It stores no model: it samples through ``trainer.lightning_module.policy``, so the rollouts of a
    window come from exactly the weights that its first update will change.

    Args:
        engine: Turns prompts into a training batch.
        windows, epochs: Rollout windows in the run, passes over the training set: at least one of them;
            the run ends at what comes first.
        prompts_per_window: Of all processes together.
        prompts_per_step: Most prompts in a micro-batch of one process.
        inner_updates: μ.
        updates_per_pass: Updates in one of the μ passes; its micro-batches are shared among them.
        **common: See :class:`ProblemDataModule`.

    Attributes:
        step_size, slots: After ``setup("fit")``: prompts of a micro-batch, micro-batches of a pass.
        windows, updates: Then, too: rollout windows and updates in the whole run.
    """

    def __init__(
        self,
        *,
        engine: RolloutEngine,
        prompts_per_window: int,
        prompts_per_step: int,
        inner_updates: int,
        windows: int | None = None,
        epochs: float | None = None,
        updates_per_pass: int = 1,
        **common: Any,
    ):
        super().__init__(**common)
        self.engine = engine
        self._limits = {"windows": windows, "epochs": epochs}
        self.prompts_per_window, self.prompts_per_step = prompts_per_window, prompts_per_step
        self.inner_updates = positive_int("algo.inner_updates", inner_updates)
        self.updates_per_pass = positive_int("algo.updates_per_pass", updates_per_pass)
        self.window: RolloutBatch | None = None
        self._window_indices: tuple[int, ...] = ()
        self._totals = {"completions": 0.0, "generated_tokens": 0.0, "row_forwards": 0.0}

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        schedule = self._schedule()
        slots = schedule.slots
        if slots % self.updates_per_pass:
            raise ConfigError(
                f"algo.updates_per_pass={self.updates_per_pass}: "
                f"must divide the {slots} micro-batches of a pass"
            )
        # Old log-probs are estimated in the batches of training: rounding then cancels in the ratio.
        self.engine.prompts_per_forward = schedule.step_size
        self.step_size, self.slots, self.windows = schedule.step_size, slots, schedule.windows
        self.updates = self.windows * self.inner_updates * self.updates_per_pass
        self.pace(slots // self.updates_per_pass, self.validate_every * self.inner_updates * slots)

    def _schedule(self) -> RolloutSchedule:
        return RolloutSchedule(
            len(self._train),
            **self._limits,
            prompts_per_window=self.prompts_per_window,
            prompts_per_step=self.prompts_per_step,
            inner_updates=self.inner_updates,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )

    def train_dataloader(self) -> StepLoader:
        schedule = self._schedule()
        return self.step_loader(schedule, per_update=schedule.slots // self.updates_per_pass)

    def on_after_batch_transfer(self, batch: Sealed, dataloader_idx: int) -> Any:
        batch = batch.open()
        if not isinstance(batch, RolloutStep):
            return batch
        if self.window is None or self.window.window != batch.window:
            self._generate(batch)
        window = self.window.to(self.trainer.lightning_module.device)
        return window.rows(batch.start, batch.stop, inner=batch.inner, slot=batch.slot)

    def _generate(self, step: RolloutStep) -> None:
        prompts = [self._train[i] for i in step.indices]
        # Lightning turns autocast off in data hooks; sampling must see the precision of training.
        with self.trainer.precision_plugin.forward_context():
            self.window = self.engine.run(self.policy, prompts, step.window)
        self._window_indices = step.indices
        for name in self._totals:
            self._totals[name] += self.window.metrics[name]
        self.window.metrics.update(self._totals)

    def sample_records(self, count: int) -> list[SampleRecord]:
        """``count`` completions of the present window, inpainted ones first."""
        if self.window is None:
            return []
        prompts = [self._train[i] for i in self._window_indices]
        return sample_records(self.policy, prompts, self.window, count)

    def state_dict(self) -> dict[str, Any]:
        """The rollouts of all processes, so that any number of them can go on; a collective."""
        window = None if self.window is None else self.window.state_dict()
        mine = {"window": window, "indices": list(self._window_indices), "totals": dict(self._totals)}
        return {"processes": gather_objects(mine)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        mine = share(state_dict["processes"], self.trainer.global_rank, self.trainer.world_size)
        self.window = None if mine["window"] is None else RolloutBatch.from_state_dict(mine["window"])
        self._window_indices = tuple(mine["indices"])
        self._totals.update(mine["totals"])

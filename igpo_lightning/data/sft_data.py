"""The DataModule of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..sampling.canvas import collate
from ..types import Prompt
from .base import ProblemDataModule
from .schedule import Sealed, SFTSchedule, SFTStep, StepLoader


@dataclass(frozen=True)
class SFTBatch:
    """B rows: left-padded prompts, and responses with their end, filled up with end-of-sequence tokens.

    They are the rows [start, start + B) of the ``of`` rows of update ``update``; None: all of them.
    """

    prompt_ids: Tensor  # [B, Q] int64
    prompt_mask: Tensor  # [B, Q] bool
    response: Tensor  # [B, C] int64
    update: int = 0
    start: int = 0
    of: int | None = None


class SFTDataModule(ProblemDataModule):
    """Prompts with their traces.

    Args:
        steps, epochs: Updates in the run, passes over the training set: at least one of them; the run ends
            at what comes first.
        batch_size: Rows of an update, of all processes together.
        rows_per_step: Most rows of a micro-batch on one process.
        **common: See :class:`ProblemDataModule`.

    Attributes:
        step_size, slots: After ``setup("fit")``: rows of a micro-batch, micro-batches of an update.
        steps, updates: Then, too: updates in the whole run.
    """

    hints = False

    def __init__(
        self,
        *,
        batch_size: int,
        rows_per_step: int,
        steps: int | None = None,
        epochs: float | None = None,
        **common: Any,
    ):
        super().__init__(**common)
        self._limits = {"steps": steps, "epochs": epochs}
        self.batch_size, self.rows_per_step = batch_size, rows_per_step

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            schedule = self._schedule()
            self.step_size, self.slots = schedule.step_size, schedule.slots
            self.steps = self.updates = schedule.steps
            self.pace(self.slots, self.validate_every * self.slots)

    def _schedule(self) -> SFTSchedule:
        return SFTSchedule(
            len(self._train),
            **self._limits,
            batch_size=self.batch_size,
            rows_per_step=self.rows_per_step,
            seed=self.seed,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
        )

    def train_dataloader(self) -> StepLoader:
        schedule = self._schedule()
        return self.step_loader(schedule, per_update=schedule.slots)

    def on_after_batch_transfer(self, batch: Sealed, dataloader_idx: int) -> Any:
        batch = batch.open()
        if not isinstance(batch, SFTStep):
            return batch
        device = self.trainer.lightning_module.device
        rows = [self._train[i] for i in batch.indices]
        return replace(self.collate(rows, device), update=batch.update, start=batch.start, of=self.batch_size)

    def collate(self, prompts: Sequence[Prompt], device: torch.device) -> SFTBatch:
        policy = self.policy
        tensors = collate(prompts, policy.pad_id, device)
        response = torch.full((len(prompts), self.length), policy.eos_id)
        for row, prompt in enumerate(prompts):
            ids = (*prompt.response, policy.end_id)[: self.length]
            response[row, : len(ids)] = torch.tensor(ids)
        return SFTBatch(tensors.ids, tensors.mask, response.to(device))

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

    ``text`` counts each row's tokens before the fill, the end among them. A row that is not ``whole`` was
    cut to fit the canvas, and nothing is learned from it or measured on it. They are the rows
    [start, start + B) of the ``of`` rows of update ``update``; None: all of them.
    """

    prompt_ids: Tensor  # [B, Q] int64
    prompt_mask: Tensor  # [B, Q] bool
    response: Tensor  # [B, C] int64
    text: Tensor  # [B] int64
    whole: Tensor  # [B] bool
    update: int = 0
    start: int = 0
    of: int | None = None


class SFTDataModule(ProblemDataModule):
    """Prompts with their traces.

    Args:
        algorithm: Its lengths and sizes.
        **common: See :class:`ProblemDataModule`.

    Attributes:
        step_size, slots: After ``setup("fit")``: rows of a micro-batch, micro-batches of an update.
        steps, updates: Then, too: updates in the whole run.
    """

    hints = False

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            schedule = self._schedule()
            self.step_size, self.slots = schedule.step_size, schedule.slots
            self.steps = self.updates = schedule.steps
            self._draws, self._tokens = schedule.draws, [0]
            self.pace(self.slots, self.algorithm.validate_every * self.slots)

    def _schedule(self) -> SFTSchedule:
        trainer = self.trainer
        return SFTSchedule(len(self._train), self.algorithm, trainer.global_rank, trainer.world_size)

    def train_dataloader(self) -> StepLoader:
        schedule = self._schedule()
        return self.step_loader(schedule, per_update=schedule.slots)

    def on_after_batch_transfer(self, batch: Sealed, dataloader_idx: int) -> Any:
        batch = batch.open()
        if not isinstance(batch, SFTStep):
            return batch
        device = self.trainer.lightning_module.device
        rows = [self._train[i] for i in batch.indices]
        of = self.algorithm.batch_size
        return replace(self.collate(rows, device), update=batch.update, start=batch.start, of=of)

    def epochs_seen(self, batch: SFTBatch) -> float:
        """Passes over the training set, up to and including the update of ``batch``."""
        return (batch.update + 1) / self._draws.per_epoch

    def tokens_of(self, update: int) -> tuple[int, int]:
        """(tokens of an update, those of all updates up to it): prompts and responses with their ends.

        Of all processes together. They follow from the schedule, so that nothing has to be saved.
        """
        for done in range(len(self._tokens) - 1, update + 1):
            rows = [self._train[i] for i in self._draws[done]]
            tokens = sum(len(row.ids) + min(len(row.response) + 1, self.length) for row in rows)
            self._tokens.append(self._tokens[-1] + tokens)
        return self._tokens[update + 1] - self._tokens[update], self._tokens[update + 1]

    def collate(self, prompts: Sequence[Prompt], device: torch.device) -> SFTBatch:
        policy = self.policy
        tensors = collate(prompts, policy.pad_id, device)
        response = torch.full((len(prompts), self.length), policy.eos_id, dtype=torch.long, device="cpu")
        targets = [(*prompt.response, policy.end_id) for prompt in prompts]
        for row, ids in enumerate(targets):
            response[row, : len(ids)] = torch.tensor(ids[: self.length], dtype=torch.long, device="cpu")
        lengths = [min(len(ids), self.length) for ids in targets]
        text = torch.tensor(lengths, dtype=torch.long, device="cpu")
        # Training rows fit, or were left out; held-out ones are decoded whatever their traces are.
        fits = [bool(p.response) and len(ids) <= self.length for p, ids in zip(prompts, targets, strict=True)]
        whole = torch.tensor(fits, dtype=torch.bool, device="cpu")
        return SFTBatch(tensors.ids, tensors.mask, response.to(device), text.to(device), whole.to(device))

    def describe(self) -> str:
        val = self.val_problems
        long = sum(len(prompt.response) + 1 > self.length for prompt in val)
        if not long:
            return super().describe()
        return (
            f"{super().describe()}\nvalidation loss: of {len(val) - long:,} of {len(val):,} "
            f"problems; the traces of {long:,} do not fit the canvas"
        )

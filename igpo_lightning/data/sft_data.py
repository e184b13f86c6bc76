"""The DataModule of supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..checks import positive_int
from ..sampling.canvas import collate
from ..types import Prompt
from .base import ProblemDataModule
from .schedule import SFTSchedule, SFTStep, StepLoader


@dataclass(frozen=True)
class SFTBatch:
    """B rows: left-padded prompts, and responses with their end, filled up with end-of-sequence tokens."""

    prompt_ids: Tensor  # [B, Q] int64
    prompt_mask: Tensor  # [B, Q] bool
    response: Tensor  # [B, C] int64
    step: int


class SFTDataModule(ProblemDataModule):
    """Prompts with their traces.

    Args:
        steps: Micro-batches in the run.
        batch_size: Rows of a micro-batch on one process.
        accumulate: Micro-batches of an update.
        **common: See :class:`ProblemDataModule`.
    """

    hints = False

    def __init__(self, *, steps: int, batch_size: int, accumulate: int = 1, **common: Any):
        super().__init__(**common)
        self.steps = positive_int("algo.steps", steps)
        self.batch_size = batch_size
        self.accumulate = positive_int("algo.accumulate", accumulate)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            self.pace(self.accumulate, self.validate_every * self.accumulate)

    def train_dataloader(self) -> StepLoader:
        return StepLoader(
            SFTSchedule(
                len(self._train),
                steps=self.steps,
                batch_size=self.batch_size,
                seed=self.seed,
                rank=self.trainer.global_rank,
                world=self.trainer.world_size,
            )
        )

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if not isinstance(batch, SFTStep):
            return batch
        device = self.trainer.lightning_module.device
        return self.collate([self._train[i] for i in batch.indices], device, batch.step)

    def collate(self, prompts: Sequence[Prompt], device: torch.device, step: int = 0) -> SFTBatch:
        policy = self.policy
        tensors = collate(prompts, policy.pad_id, device)
        response = torch.full((len(prompts), self.length), policy.eos_id)
        for row, prompt in enumerate(prompts):
            ids = (*prompt.response, policy.end_id)[: self.length]
            response[row, : len(ids)] = torch.tensor(ids)
        return SFTBatch(tensors.ids, tensors.mask, response.to(device), step)

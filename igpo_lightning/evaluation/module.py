"""The Lightning side of an evaluation: batches to processes, completions to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from ..data.schedule import Sealed, StepLoader
from ..distributed import barrier, of_first
from ..models import Policy
from .decoding import complete
from .plan import Batch, share_of
from .store import Generation, Store


class EvaluationModule(L.LightningModule):
    """Completes batches and saves the completions.

    Args:
        policy: What is evaluated.
        samplers: Benchmark → how its canvases are filled.
    """

    def __init__(self, policy: Policy, samplers: Mapping[str, Any]) -> None:
        super().__init__()
        self.policy, self.samplers = policy, samplers

    def on_predict_end(self) -> None:
        # Here, and not after the run, when the processes may be connected no longer: the first one goes
        # on to read what all of them have written.
        barrier(self.device)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Generation]:
        tasks, sampler = batch.tasks, self.samplers[batch.benchmark]
        done = complete(self.policy, sampler, [task.prompt for task in tasks], [task.seed for task in tasks])
        outcomes = zip(tasks, done.texts, done.lengths.tolist(), done.ended.tolist(), strict=True)
        rows = [
            Generation(
                id=task.prompt.problem.id,
                sample=task.sample,
                seed=task.seed,
                prompt=str(self.policy.tokenizer.decode(list(task.prompt.ids))),
                completion=completion,
                gold=task.prompt.problem.answer,
                tokens=tokens,
                ended=ended,
                groups=dict(task.prompt.problem.meta),
                task=dict(task.prompt.problem.task),
            )
            for task, completion, tokens, ended in outcomes
        ]
        trainer: Any = self.trainer
        trainer.datamodule.save(batch.benchmark, rows)
        return rows


class EvaluationData(L.LightningDataModule):
    """The batches that are left to do.

    Args:
        batches: All batches of the evaluation, the same on every process.
        folder: Where completions are saved; only the first process needs to know.
        width: Columns of a completion.
    """

    def __init__(self, batches: Sequence[Batch], folder: Path | None, width: int = 0) -> None:
        super().__init__()
        self.batches, self.folder, self.width = batches, folder, width
        self._mine: list[Batch] = []

    @property
    def rows(self) -> int:
        """Completions that are left to this process."""
        return sum(len(batch.tasks) for batch in self._mine)

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        assert trainer is not None  # who sets it up
        self.folder = Path(of_first(str(self.folder), trainer.strategy.root_device))
        self._rank = trainer.global_rank
        self.store = Store(self.folder)
        self.done = {row.key for name in self.store.names() for row in self.store.read(name)}
        self._mine = share_of(self.batches, self.done, self._rank, trainer.world_size)

    def save(self, benchmark: str, rows: Sequence[Generation]) -> None:
        """Append what is not there yet to this process's file."""
        new = [row for row in rows if row.key not in self.done]
        self.store.append(benchmark, self._rank, new)

    def predict_dataloader(self) -> StepLoader:
        return StepLoader(self._mine)

    def on_after_batch_transfer(self, batch: Sealed, dataloader_idx: int) -> Batch:
        return batch.open()

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch  # token ids are made into tensors on the device itself

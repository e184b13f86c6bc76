"""What both DataModules share: encoded problems, and held-out prompts in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning as L

from ..checks import ConfigError, positive_int
from ..types import Prompt
from .encoding import Encoder
from .schedule import StepLoader
from .sources.base import Source


class ProblemDataModule(L.LightningDataModule):
    """Problems of a source, encoded with the policy's tokenizer.

    The first ``val_size`` held-out problems are for curves during training, the next ``test_size``
    for the figures before and after it.

    Args:
        source: Where problems come from.
        length: C, completion width in tokens.
        val_size, test_size: Held-out problems.
        eval_batch: Prompts decoded in one call.
        encoder: Makes the :class:`Encoder`, with what it needs besides tokenizer, width and hints.
        validate_every: Updates or windows between two validations.
        seed: Of the order of the training set.
    """

    hints = True

    def __init__(
        self,
        source: Source,
        *,
        length: int,
        val_size: int,
        test_size: int,
        validate_every: int,
        eval_batch: int = 256,
        encoder: Callable[..., Encoder] = Encoder,
        seed: int = 0,
    ):
        super().__init__()
        self.source, self.length, self.seed = source, length, seed
        self.val_size, self.test_size = val_size, test_size
        self.validate_every = positive_int("algo.validate_every", validate_every)
        self.eval_batch = positive_int("data.eval_batch", eval_batch)
        self.encoder = encoder
        self.dropped: dict[str, int] = {}
        self._train: Sequence[Prompt] = ()
        self._heldout: Sequence[Prompt] = ()

    @property
    def policy(self):
        return self.trainer.lightning_module.policy

    def setup(self, stage: str) -> None:
        tokenizer, mask_id = self.policy.tokenizer, self.policy.mask_id
        if not self._heldout:
            # None of them is left out: their traces are for people to read and need not fit the canvas.
            encode_eval = self.encoder(
                tokenizer, mask_id=mask_id, max_prompt=None, max_response=None, hints=False
            )
            count = min(len(self.source.heldout), self.val_size + self.test_size)
            self._heldout = encode_eval.encode_all([self.source.heldout[i] for i in range(count)]).prompts
        if stage == "fit" and not self._train:
            encode = self.encoder(tokenizer, mask_id=mask_id, max_response=self.length, hints=self.hints)
            report = encode.encode_all(self.source.train)
            self._train, self.dropped = report.prompts, dict(report.dropped)
            if not self._train:
                raise ConfigError(f"data.source: no training row is left; dropped {self.dropped}")

    def pace(self, batches_per_update: int, batches_per_validation: int) -> None:
        """Tell the trainer how many micro-batches make an update, and how many lie between validations."""
        self.trainer.accumulate_grad_batches = batches_per_update
        self.trainer.val_check_interval = batches_per_validation
        if self.val_size == 0:
            self.trainer.limit_val_batches = 0

    def step_loader(self, schedule: Sequence[Any], per_update: int) -> StepLoader:
        """A training loader that tells the callbacks when one update is done and the next not begun."""
        return StepLoader(schedule, per_update, self._between_updates)

    def _between_updates(self) -> None:
        for callback in self.trainer.callbacks:
            if hook := getattr(callback, "between_updates", None):
                hook(self.trainer)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        # Rows are logged under the number of updates done. Lightning keeps a count of its own for that,
        # which is one too high after a resume at a step where a validation was due.
        if self.trainer.training:
            self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.trainer.global_step
        return batch

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch  # steps are indices and prompts; tensors are made on the device itself

    def describe(self) -> str:
        """The training set in one line, with what was left out of it and why."""
        left_out = {**self.source.dropped}
        for reason, count in self.dropped.items():
            left_out[reason] = left_out.get(reason, 0) + count
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        return f"{len(self._train):,} training problems" + (f" (left out: {reasons})" if reasons else "")

    @property
    def test_problems(self) -> Sequence[Prompt]:
        """Held-out problems that decide how good a run is; the same on every process."""
        return self._heldout[self.val_size :]

    def val_dataloader(self) -> StepLoader:
        return self._batches(self._heldout[: self.val_size])

    def _batches(self, prompts: Sequence[Prompt]) -> StepLoader:
        world, rank = self.trainer.world_size, self.trainer.global_rank
        mine = prompts[: len(prompts) // world * world][rank::world]
        return StepLoader([mine[i : i + self.eval_batch] for i in range(0, len(mine), self.eval_batch)])

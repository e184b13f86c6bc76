"""Accuracy on held-out problems: validation before and after training, test at the end; inside the fit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback

from .. import progress
from ..distributed import reduce
from ..reporting.summary import Accuracy
from ..types import Prompt
from .decoding import decode


class HeldOutAccuracy(Callback):
    """Decodes the validation problems when training starts, and by :meth:`measure_after` when it has
    ended; then the test problems, too.

    What is chosen, by people or programs, is chosen on validation problems; so the test set is decoded at
    the end of the last stage only.

    Both happen within ``fit``, by the processes and with the weights, split or not, that train. A
    ``Trainer.test`` before the fit would set up the strategy twice, and DeepSpeed's set-up for
    inference rounds the weights that training then starts from. After the fit (``on_fit_end``
    included) the weights are on the host, and processes can't add up what they found.

    Args:
        before: What is known of the weights training starts from; measured if None. A resumed run
            takes it from its checkpoint.
        last: Whether no further stage follows, so that the test set is due.

    Attributes:
        before, after: Accuracies on validation problems; None where not measured.
        test: Accuracy on test problems, likewise.
    """

    def __init__(self, before: Accuracy | None = None, last: bool = True):
        self.before, self.last = before, last
        self.after: Accuracy | None = None
        self.test: Accuracy | None = None
        self._validated: tuple[int, float] | None = None  # after so many updates, the accuracy found

    def on_train_start(self, trainer: Any, module: LightningModule) -> None:
        if self.before is None:
            self.before = self._measure(trainer, module, "validation", trainer.datamodule.val_problems)

    def on_validation_end(self, trainer: Any, module: LightningModule) -> None:
        # On several processes, validation leaves out what does not divide among them.
        if len(trainer.datamodule.val_problems) % trainer.world_size == 0:
            self._validated = trainer.global_step, float(trainer.callback_metrics["val/accuracy"])

    def measure_after(self, trainer: Any, module: LightningModule) -> None:
        """To be called as the last thing within ``on_train_end``: a run that a guard ends is not measured."""
        problems = trainer.datamodule.val_problems
        updates, found = self._validated or (None, 0.0)
        if updates == trainer.global_step:  # of these very weights
            right = round(found * len(problems))
            self.after = Accuracy(right / len(problems), len(problems))
        else:
            self.after = self._measure(trainer, module, "validation", problems)
        if self.last:
            self.test = self._measure(trainer, module, "test", trainer.datamodule.test_problems)

    def state_dict(self) -> dict[str, Any]:
        return {"before": self.before and [self.before.value, self.before.n]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["before"]:
            self.before = Accuracy(*state_dict["before"])

    @torch.no_grad()
    def _measure(self, trainer: Any, module: Any, name: str, problems: Sequence[Prompt]) -> Accuracy | None:
        if not problems:
            return None
        started, training = time.monotonic(), module.training
        module.eval()
        with trainer.precision_plugin.forward_context():
            right = self._right(trainer, module, problems)
        module.train(training)
        accuracy = Accuracy(right / len(problems), len(problems))
        for callback in trainer.callbacks:
            if hasattr(callback, "print"):  # it owns the console
                callback.print(f"{name} accuracy {accuracy.value:.3f} | {time.monotonic() - started:.1f} s")
        return accuracy

    @staticmethod
    def _right(trainer: Any, module: Any, problems: Sequence[Prompt]) -> float:
        """Problems solved by all processes together, each decoding its share."""
        rank, world, batch = trainer.global_rank, trainer.world_size, trainer.datamodule.eval_batch
        mine = problems[rank::world]
        # Sharded weights need as many model calls on every process: a short share repeats a problem.
        padded = [*mine, *problems[: -(-len(problems) // world) - len(mine)]]
        right = 0.0
        with progress.work("held-out problems", len(padded), module.decoder.length):
            for start in range(0, len(padded), batch):
                part = padded[start : start + batch]
                stage = module.algorithm
                found = decode(module.policy, module.decoder, stage.reward, part, seed=stage.seed)
                right += found.scores.correct[: max(0, len(mine) - start)].sum().item()
        return reduce([right], "sum", module.device)[0]

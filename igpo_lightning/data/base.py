"""Base of both DataModules: encodes problems, and serves held-out prompts in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from ..algos.algorithm import Stage
from ..amounts import counted
from ..checks import ConfigError, positive_int
from ..lightning_private import log_under_updates
from ..types import Problem, Prompt
from .account import Account
from .contamination import Decontaminated
from .encoding import Encoder
from .schedule import StepLoader
from .sources.base import Lazy, Source


class ProblemDataModule(L.LightningDataModule):
    """Problems of a source, encoded with the policy's tokenizer.

    Validation problems are decoded before, during and after training, and all that is chosen is chosen by
    them; test problems are decoded once, at the end of the run.

    Args:
        algorithm: The stage: width of completions, pace of validation, seed.
        source: Where problems come from.
        eval_batch: Prompts decoded in one call.
        encoder: Makes the :class:`Encoder`, with what it needs besides tokenizer, width and hints.
        decontaminate: Source, training problems of it → which may be trained on; None trains on all.

    Attributes:
        val_problems, test_problems: After ``setup``, encoded; the same on every process.
    """

    hints = True
    sample: int | None = None
    """Training problems to look at, taken for all of them: enough for a dry run's estimates. None: all, and
    so it is where a single row can end the run."""
    trainer: Any  # Lightning gives it some attributes only when it is made
    algorithm: Any  # a Stage of the kind that the subclass trains

    def __init__(
        self,
        source: Source,
        *,
        algorithm: Stage,
        eval_batch: int = 256,
        encoder: Callable[..., Encoder] = Encoder,
        decontaminate: Callable[[Source, Sequence[Problem]], Decontaminated] | None = None,
    ):
        super().__init__()
        self.source, self.algorithm = source, algorithm
        self.length = algorithm.sampler.length  # C, completion width in tokens
        positive_int("algo.validate_every", algorithm.validate_every)
        self.eval_batch = positive_int("data.eval_batch", eval_batch)
        if check := getattr(algorithm.reward, "check_problems", None):
            check([*source.val, *source.test, *(source.train if self.hints else ())])
        self.encoder, self.decontaminate = encoder, decontaminate or (lambda _, rows: Decontaminated(rows))
        self.account: Account | None = None
        self._train: Sequence[Prompt] = ()
        self.val_problems: Sequence[Prompt] = ()
        self.test_problems: Sequence[Prompt] = ()

    @property
    def policy(self):
        return self.trainer.lightning_module.policy

    def setup(self, stage: str) -> None:
        self._tell("before_data")  # minutes, of a large set: Lightning sets callbacks up after this
        if not (self.val_problems or self.test_problems):
            self.val_problems = self._whole(self.source.val)
            self.test_problems = self._whole(self.source.test)
        if stage == "fit" and not self._train:
            self._set_up_training()

    def _whole(self, problems: Sequence[Problem]) -> Sequence[Prompt]:
        """Held-out problems: none is left out, whatever they say and however long their traces are."""
        options = {"max_prompt": None, "max_response": None, "hints": False, "on_mask_token": "text"}
        return self._encoder(**options).encode_all(list(problems)).prompts

    def _encoder(self, **options: Any) -> Encoder:
        return self.encoder(self.policy.tokenizer, mask_id=self.policy.mask_id, **options)

    def _set_up_training(self) -> None:
        encode = self._encoder(max_response=self.length, hints=self.hints, targets=not self.hints)
        looked_at = evenly(self.source.train, None if encode.strict else self.sample)
        clean = self.decontaminate(self.source, looked_at)
        problems = list(clean.problems)
        report = encode.encode_all(problems)
        share = len(looked_at) / max(len(self.source.train), 1) or 1.0
        self.account = Account(self.source.dropped, clean, problems, report.fates, share)
        if not report.prompts:
            out = {
                f"{reason} ({encode.settings[reason]})" if reason in encode.settings else reason: count
                for reason, count in self.account.left_out().items()
            }
            raise ConfigError(f"data.source: no training row is left; left out: {counted(out)}")
        self._train = report.prompts
        if self.account.sampled:
            few = report.prompts
            self._train = Lazy(self.account.trained_on, lambda i: few[i % len(few)])
        if self.trainer.is_global_zero:
            self.account.save(Path(self.trainer.default_root_dir))

    def pace(self, batches_per_update: int, batches_per_validation: int) -> None:
        """Tell the trainer how many micro-batches make an update, and how many lie between validations."""
        self.trainer.accumulate_grad_batches = batches_per_update
        self.trainer.val_check_interval = batches_per_validation
        if not self.source.val:
            self.trainer.limit_val_batches = 0

    def step_loader(self, schedule: Sequence[Any], per_update: int) -> StepLoader:
        """A training loader that tells the callbacks when one update is done and the next not begun."""
        return StepLoader(schedule, per_update, lambda: self._tell("between_updates"))

    def _tell(self, name: str) -> None:
        """Call the hook of this name of the callbacks that have one: Lightning knows none such."""
        for callback in getattr(self.trainer, "callbacks", ()):
            if hook := getattr(callback, name, None):
                hook(self.trainer)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer.training:
            log_under_updates(self.trainer)
        return batch

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return batch  # steps are indices and prompts; tensors are made on the device itself

    def describe(self) -> str:
        """The training set in a few lines: what was left out of it and why, and what was done to it."""
        lines = [] if self.account is None else self.account.describe(self.hints)
        if not self.source.val:
            lines.append(
                "no validation problems (data.val_size=0): no best checkpoint, and nothing to choose by"
            )
        return "\n".join(lines)

    def val_dataloader(self) -> StepLoader:
        world, rank, prompts = self.trainer.world_size, self.trainer.global_rank, self.val_problems
        mine = prompts[: len(prompts) // world * world][rank::world]
        return StepLoader([mine[i : i + self.eval_batch] for i in range(0, len(mine), self.eval_batch)])


def evenly(problems: Sequence[Problem], count: int | None) -> Sequence[Problem]:
    """``count`` of ``problems`` at equal distances, in order; all, if there are no more or it is None."""
    if count is None or len(problems) <= count:
        return problems
    return [problems[i * len(problems) // count] for i in range(count)]

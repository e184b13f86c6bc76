"""Callbacks that show a run: a header, one progress line, and samples with their hints marked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, LearningRateMonitor

from igpo_lightning import progress
from igpo_lightning.console import Cell, Line, colours
from igpo_lightning.progress import Work
from igpo_lightning.reporting import samples as samples_file
from igpo_lightning.reporting.cells import pace_cells, rollout_cells, supervised_cells, work_cells
from igpo_lightning.reporting.header import header
from igpo_lightning.reporting.sample_loggers import log_samples
from igpo_lightning.reporting.table import duration

_REFRESH = 0.2  # seconds between two looks of a line that is rewritten in place


class WorkProgress(Callback):
    """Shows the progress of present work in one line; needs ``Trainer(enable_progress_bar=False)``.

    On a terminal the line is rewritten in place, elsewhere there is one every ``interval`` seconds at
    most. Counts and paces are those of the first process.

    Args:
        interval: Least time between two lines where there is no terminal, in seconds.
        stream: Where to write; standard output if None.
        clock: Gives seconds.
    """

    def __init__(
        self,
        interval: float = 10.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval, self.clock = interval, clock
        self._line = Line(stream)
        self._enabled = True
        self._contexts = ExitStack()  # who is told of work, and the work that a whole loop is
        self._work: Work | None = None
        self._standing: Work | None = None  # what the line that stands is of, if of work
        self._shown = self._work_began = clock()

    def before_data(self, trainer: pl.Trainer) -> None:
        """Show how far problems are encoded; the DataModule calls this before it begins."""
        self._watch(trainer)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._watch(trainer)

    def _watch(self, trainer: pl.Trainer) -> None:
        self._enabled = trainer.is_global_zero
        self._trainer: Any = trainer
        self._contexts.close()
        self._contexts.enter_context(progress.observed(self._report_work))

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._contexts.close()
        self._end()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "")

    def print(self, text: str) -> None:
        """Print ``text`` for good, above the progress line."""
        if self._enabled:
            self._line.print(text)

    def on_predict_start(self, trainer: Any, pl_module: Any) -> None:
        data = trainer.datamodule
        self._contexts.enter_context(progress.work("completions", data.rows, data.width))

    def _report_work(self, work: Work) -> None:
        if work is not self._work:
            self._work, self._work_began = work, self.clock()
        if work.over and work is self._standing:
            self._line.clear()
        elif not work.over and self._due():
            self._show(self._cells_of(work))
            self._standing = work

    def _cells_of(self, work: Work) -> list[Cell]:
        return work_cells(work, self.clock() - self._work_began)

    def _due(self) -> bool:
        return self.clock() - self._shown >= (_REFRESH if self._line.in_place else self.interval)

    def _show(self, cells: Sequence[Cell]) -> None:
        if self._enabled:
            self._shown, self._standing = self.clock(), None
            self._line.show(cells)

    def _end(self) -> None:
        if self._enabled:
            self._line.end()


class RolloutProgress(WorkProgress):
    """Shows a header, and one line with the progress and metrics of a run.

    The line follows every rollout: its samples, scores and log-probs, and its updates; it follows
    supervised training, and held-out problems that are decoded. A batch that carries ``index`` belongs
    to a rollout; any other batch is a supervised step. Off a terminal, every rollout has a line.

    Args:
        stage, model, data: Names for the header.
        **line: See :class:`WorkProgress`.
    """

    def __init__(
        self, interval: float = 10.0, stream: TextIO | None = None, *,
        stage: str | None = None, model: str | None = None, data: str | None = None, **line: Any,
    ) -> None:  # fmt: skip
        super().__init__(interval, stream, **line)
        self._names = {"stage": stage, "model": model, "data": data}
        self._validating = ExitStack()
        self._begin()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._validating.close()
        super().teardown(trainer, pl_module, stage)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._end()
        self._begin()
        self.print(header(trainer, pl_module, **self._names))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        # Callbacks see the end of a batch before the module has logged it: report on a rollout, or on
        # a step, when the next one begins.
        rollout = getattr(batch, "index", None)
        if rollout is None:
            self._report_step(trainer)
        elif rollout != self._rollout:
            self._report_rollout(trainer)
            self._rollout, self._batches = rollout, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches += 1
        if self._rollout is not None and self._line.in_place:
            self._show([self._head(self._rollout), *self._cells, Cell(f"update {self._batches}", 7)])

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        rows = sum(map(len, getattr(trainer.val_dataloaders, "steps", ())))
        width = getattr(trainer.datamodule, "length", 0)
        self._validating.enter_context(progress.work("validation", rows, width))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._validating.close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._rollout is not None:
            self._report_rollout(trainer)
        else:
            self._report_step(trainer, last=True)
        self._end()

    def _begin(self) -> None:
        self._started = self._shown = self.clock()
        self._pace: float | None = None  # seconds per rollout
        self._cells: list[Cell] = []  # what is known of the last rollout
        self._rollout: int | None = None  # the rollout being trained on
        self._rollouts = 0  # that this process has seen end
        self._batches = 0  # of this rollout, or of supervised training

    def _report_rollout(self, trainer: pl.Trainer) -> None:
        if self._rollout is None:
            return
        self._rollouts += 1
        self._pace = (self.clock() - self._started) / self._rollouts
        left = self._seconds_left(self._rollout + 1)
        self._cells = [*rollout_cells(_numbers(trainer)), *pace_cells(f"{self._pace:.1f} s/rollout", left)]
        self._show([self._head(self._rollout), *self._cells])

    def _report_step(self, trainer: pl.Trainer, last: bool = False) -> None:
        if not self._batches or (not last and not self._due()):
            return
        pace = (self.clock() - self._started) / self._batches
        total, done = trainer.num_training_batches, trainer.fit_loop.batch_idx + last
        cells = [Cell(f"step {done}/{total}"), *supervised_cells(_numbers(trainer))]
        self._show([*cells, *pace_cells(f"{pace:.2f} s/step", pace * (total - done))])

    def _report_work(self, work: Work) -> None:
        if work.rollout is not None and self._rollout not in (None, work.rollout):
            self._report_rollout(self._trainer)  # the last one has ended: say so before the next
            self._rollout = None
        super()._report_work(work)

    def _cells_of(self, work: Work) -> list[Cell]:
        cells = super()._cells_of(work)
        if work.rollout is None:
            return cells
        left = self._seconds_left(work.rollout)
        run = [] if left is None else [Cell(f"run ETA {duration(left)}", 3)]
        return [self._head(work.rollout), *cells, *run]

    def _seconds_left(self, rollout: int) -> float | None:
        """From the beginning of ``rollout`` to the end of the run."""
        total = getattr(self._trainer.datamodule, "rollouts", None)
        return None if total is None or self._pace is None else self._pace * (total - rollout)

    def _head(self, rollout: int) -> Cell:
        total = getattr(self._trainer.datamodule, "rollouts", None)
        return Cell(f"rollout {rollout + 1}/{total}" if total else f"rollout {rollout + 1}")


class SampleTable(Callback):
    """Writes sampled completions to ``samples.jsonl``, W&B and TensorBoard, and a few to the console.

    After a rollout it asks the DataModule for ``sample_records(k)``; without that method (supervised
    training) it does nothing. A fresh run starts the file anew, a resumed one goes on with it.

    Args:
        path: The JSONL file.
        every_n_rollouts: Rollouts from one table to the next.
        samples: Completions per table, a quarter of each kind: right and wrong, with hints and without.
        console: How many of them are printed, of as many kinds as there are.
    """

    def __init__(
        self, path: str | Path, every_n_rollouts: int = 10, samples: int = 8, console: int = 2
    ) -> None:
        self.path = Path(path)
        self.every_n_rollouts = every_n_rollouts
        self.samples = samples
        self.console = console
        self._last: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = None
        if trainer.is_global_zero and trainer.global_step == 0:
            self.path.unlink(missing_ok=True)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        rollout = getattr(batch, "index", None)
        if rollout is None or rollout == self._last or not trainer.is_global_zero:
            return
        self._last = rollout
        source = getattr(trainer.datamodule, "sample_records", None)
        if rollout % self.every_n_rollouts or source is None or not (records := source(self.samples)):
            return
        samples_file.append(self.path, records)
        self._print(trainer, samples_file.mixed(records, self.console))
        for logger in trainer.loggers:
            log_samples(logger, records, trainer.global_step)

    @staticmethod
    def _print(trainer: Any, records: Sequence[Any]) -> None:
        show = next((c.print for c in trainer.callbacks if isinstance(c, RolloutProgress)), print)
        style = "ansi" if sys.stdout.isatty() and colours() else "plain"
        for record in records:
            show(samples_file.describe(record, style))


class LearningRate(LearningRateMonitor):
    """Lightning's learning-rate monitor, silent instead of an error in a run without loggers."""

    def on_train_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.loggers:
            super().on_train_start(trainer, *args, **kwargs)

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.loggers:
            super().on_train_batch_start(trainer, *args, **kwargs)


def _numbers(trainer: pl.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}

"""What a user sees while a run is on: one progress line, and samples with their hints marked."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from igpo_lightning.reporting import samples as samples_file
from igpo_lightning.reporting.table import duration
from igpo_lightning.types import SampleRecord

_CLEAR = "\r\x1b[2K"


def short(value: float | None, digits: int = 2) -> str | None:
    """``0.314`` as ``.31``; None stays None, and so does NaN."""
    if value is None or value != value:
        return None
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def rollout_cells(metrics: Mapping[str, float]) -> list[str]:
    """The cells of one rollout window, leaving out what was not measured."""
    reward, before = short(metrics.get("rollout/reward")), short(metrics.get("rollout/reward_before"))
    wrong = short(metrics.get("rollout/all_wrong_before"))
    rescued = short(metrics.get("rollout/all_wrong_after"))
    # A window without an all-wrong group tries no hints; what is left there is of an earlier one.
    hinted = short(metrics.get("rollout/hint_success")) if metrics.get("rollout/all_wrong_before") else None
    cells = [
        reward and f"reward {reward}" + (f" (before {before})" if before and hinted else ""),
        wrong and f"all-wrong {wrong}" + (f"→{rescued}" if rescued and hinted else ""),
        hinted and f"hints ok {hinted}",
        _cell("acc", metrics.get("val/accuracy")),
        _cell("kl", metrics.get("train/kl"), 3),
    ]
    return [cell for cell in cells if cell]


def supervised_cells(metrics: Mapping[str, float]) -> list[str]:
    """The cells of supervised training, leaving out what was not measured."""
    cells = [
        _cell("loss", metrics.get("train/loss")),
        _cell("token acc", metrics.get("train/token_accuracy")),
        _cell("padding", metrics.get("train/padding_share")),
        _cell("val loss", metrics.get("val/loss")),
        _cell("val acc", metrics.get("val/accuracy")),
    ]
    return [cell for cell in cells if cell]


class RolloutProgress(Callback):
    """One line that says how a run goes; use it with ``Trainer(enable_progress_bar=False)``.

    On a terminal the line is rewritten in place. Elsewhere one line is printed per rollout window,
    and during supervised training at most one every ``interval`` seconds. A batch that carries
    ``window`` belongs to a rollout; any other batch is a supervised step.

    Args:
        interval: Least time between two lines of supervised training, in seconds.
        stream: Where to write; standard output if None.
    """

    def __init__(self, interval: float = 10.0, stream: TextIO | None = None) -> None:
        self.interval = interval
        self._stream = stream
        self._enabled = True
        self._begin()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._enabled = trainer.is_global_zero

    def print(self, text: str) -> None:
        """Print ``text`` for good, above the progress line."""
        self._write(text, keep=True)

    def show(self, text: str) -> None:
        """Put ``text`` in place of the progress line; off a terminal, print it."""
        self._write(text)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish_line()
        self._begin()
        if describe := getattr(trainer.datamodule, "describe", None):
            self.print(describe())

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        # Callbacks see the end of a batch before the module has logged it: report on a window, or on
        # a step, when the next one begins.
        window = getattr(batch, "window", None)
        if window is None:
            self._report_step(trainer)
        elif window != self._window:
            self._report_window(trainer)
            self._window, self._batches = window, 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._batches += 1
        if self._window is not None and self._tty:
            self._write(" | ".join([self._head(trainer), *self._cells, f"update {self._batches}"]))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._window is not None:
            self._report_window(trainer)
        else:
            self._report_step(trainer, last=True)
        self._finish_line()

    def _begin(self) -> None:
        self._started = self._shown = time.monotonic()
        self._line = ""  # what stands on the terminal's last line
        self._cells: list[str] = []  # what is known of the last window
        self._window: int | None = None  # the window being trained on
        self._windows = 0  # that this process has seen end
        self._batches = 0  # of this window, or of supervised training

    def _report_window(self, trainer: pl.Trainer) -> None:
        if self._window is None:
            return
        self._windows += 1
        pace = (time.monotonic() - self._started) / self._windows
        self._cells = [*rollout_cells(_numbers(trainer)), f"{pace:.1f} s/rollout"]
        if total := getattr(trainer.datamodule, "windows", None):
            self._cells.append(f"ETA {duration(pace * (total - self._window - 1))}")
        self._write(" | ".join([self._head(trainer), *self._cells]))

    def _report_step(self, trainer: pl.Trainer, last: bool = False) -> None:
        now = time.monotonic()
        pause = 0.2 if self._tty else self.interval
        if not self._batches or (not last and now - self._shown < pause):
            return
        self._shown = now
        pace = (now - self._started) / self._batches
        total, done = trainer.num_training_batches, trainer.fit_loop.batch_idx + last
        cells = [f"step {done}/{total}", *supervised_cells(_numbers(trainer)), f"{pace:.2f} s/step"]
        self._write(" | ".join([*cells, f"ETA {duration(pace * (total - done))}"]))

    def _head(self, trainer: pl.Trainer) -> str:
        total = getattr(trainer.datamodule, "windows", None)
        return f"rollout {self._window + 1}/{total}" if total else f"rollout {self._window + 1}"

    @property
    def _out(self) -> TextIO:
        return self._stream or sys.stdout

    @property
    def _tty(self) -> bool:
        return self._out.isatty()

    def _write(self, text: str, keep: bool = False) -> None:
        """On a terminal: in place of the last line, or, if ``keep``, for good and above it."""
        if not self._enabled:
            return
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        if not self._tty:
            self._out.write(text + "\n")
        elif keep:
            self._out.write(f"{_CLEAR}{text}\n{self._line}")
        else:
            self._line = text[: shutil.get_terminal_size().columns - 1]
            self._out.write(_CLEAR + self._line)
        self._out.flush()

    def _finish_line(self) -> None:
        if self._line and self._tty and self._enabled:
            self._out.write("\n")
        self._line = ""


class SampleTable(Callback):
    """Completions for people: to ``samples.jsonl``, a few to the console, and to W&B and TensorBoard.

    After a rollout it asks the DataModule for ``sample_records(k)``; without that method (supervised
    training) it does nothing. A fresh run starts the file anew, a resumed one goes on with it.

    Args:
        path: The JSONL file.
        every_n_windows: Rollout windows from one table to the next.
        samples: Completions per table.
        console: How many of them are printed.
    """

    def __init__(
        self, path: str | Path, every_n_windows: int = 10, samples: int = 8, console: int = 2
    ) -> None:
        self.path = Path(path)
        self.every_n_windows = every_n_windows
        self.samples = samples
        self.console = console
        self._last: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._last = None
        if trainer.is_global_zero and trainer.global_step == 0:
            self.path.unlink(missing_ok=True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        window = getattr(batch, "window", None)
        if window is None or window == self._last or not trainer.is_global_zero:
            return
        self._last = window
        source = getattr(trainer.datamodule, "sample_records", None)
        if window % self.every_n_windows or source is None or not (records := source(self.samples)):
            return
        samples_file.append(self.path, records)
        self._print(trainer, records[: self.console])
        for logger in trainer.loggers:
            _log_samples(logger, records, trainer.global_step)

    @staticmethod
    def _print(trainer: pl.Trainer, records: Sequence[SampleRecord]) -> None:
        show = next((c.print for c in trainer.callbacks if isinstance(c, RolloutProgress)), print)
        style = "ansi" if sys.stdout.isatty() else "plain"
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


def _cell(name: str, value: float | None, digits: int = 2) -> str | None:
    text = short(value, digits)
    return text and f"{name} {text}"


def _log_samples(logger: Any, records: Sequence[SampleRecord], step: int) -> None:
    rows = [
        [r.window, r.prompt, samples_file.marked(r.pieces), r.answer, r.reward, r.correct, r.inpainted]
        for r in records
    ]
    if isinstance(logger, WandbLogger):
        columns = ["window", "prompt", "completion", "gold", "reward", "correct", "inpainted"]
        logger.log_table("samples", columns=columns, data=rows)
    elif isinstance(logger, TensorBoardLogger):
        text = "\n\n".join(f"```\n{samples_file.describe(record)}\n```" for record in records)
        logger.experiment.add_text("samples", text, step)

"""TensorBoard: beside the curves, the config as text, and the overrides with what came of them."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from igpo_lightning.reporting.settings import differing, show

OUTCOME = "outcome"  # folder, and so a run of TensorBoard's, of the hyperparameters with their metrics


class TensorBoardLogger(LightningTensorBoardLogger):
    """As Lightning's, with hyperparameters that runs can be compared by: those that were changed.

    They are logged when the outcome is known, and its figures alone are their metrics. Lightning's way would
    make one of each of some hundred settings, and TensorBoard would show no column that its first run lacks.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._config = ""

    @rank_zero_only
    def log_hyperparams(
        self,
        params: dict[str, Any] | Namespace,
        metrics: dict[str, Any] | None = None,
        step: int | None = None,
    ) -> None:
        super().log_hyperparams(params, metrics, step)
        plain = vars(params) if isinstance(params, Namespace) else dict(params)
        self._config = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        self.experiment.add_text("config", f"```yaml\n{self._config}```", 0)

    @rank_zero_only
    def log_outcome(self, numbers: dict[str, Any]) -> None:
        """Log the settings that differ from this version's defaults, with figures of the whole run."""
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        if not numbers:
            return
        changed = {key: _told(value) for key, value, _ in differing(self._config)}
        with SummaryWriter(str(Path(self.log_dir) / OUTCOME)) as writer:
            for name, value in numbers.items():
                writer.add_scalar(name, value, 0)
            file_writer: Any = writer.file_writer  # there is one until the writer is closed
            _, *session = hparams(changed, numbers)  # the first would fix the columns for all runs
            for part in session:
                file_writer.add_summary(part)


def _told(value: Any) -> Any:
    """A value as TensorBoard takes it: numbers and truths stay as they are, the rest is text."""
    return value if isinstance(value, (bool, int, float)) else show(value)

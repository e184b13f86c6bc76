"""All that is used of Lightning beyond its public interface, with the reason.

``_batches_that_stepped``: the row under which Lightning logs. It counts on its own, one too high after a
resume at a step where a validation was due. The public way is a metric named ``step``: whatever logs,
callbacks included, would have to log it as well, and it would stand among the metrics that callbacks read.

``_check_log_dir_exists`` and ``_rewrite_with_new_header`` of ``ExperimentWriter``: the one deletes the rows
of a run that is being resumed, the other truncates the file before it writes it anew. Neither can be told
not to.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from igpo_lightning.files import cut_torn_line


def log_under_updates(trainer: Trainer) -> None:
    """Log what follows under the number of updates that are done."""
    trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


class LastingWriter(ExperimentWriter):
    """A writer of CSV rows that never leaves fewer of them than it found, whenever the process dies.

    Args:
        log_dir: Folder of the file.
        append: Whether to go on with a file that is there; otherwise it is deleted.
    """

    def __init__(self, log_dir: str, append: bool) -> None:
        self._append = append
        super().__init__(log_dir)

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if not self._append:
            path.unlink(missing_ok=True)
        elif path.is_file():
            cut_torn_line(path)
            with path.open(encoding="utf-8", newline="") as file:
                self.metrics_keys = list(csv.DictReader(file).fieldnames or [])
            if not self.metrics_keys:
                path.unlink()  # killed before its header was there

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path, new = self.metrics_file_path, f"{self.metrics_file_path}.new"
        shutil.copyfile(path, new)
        self.metrics_file_path = new
        super()._rewrite_with_new_header(fieldnames)
        self.metrics_file_path = path
        os.replace(new, path)

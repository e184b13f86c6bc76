"""Lightning's CSV logger, able to go on with the file of a run that was killed at any moment."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger as LightningCSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from igpo_lightning.files import cut_torn_line


class CSVLogger(LightningCSVLogger):
    """As Lightning's, which deletes an existing file; if ``append`` is true its rows are kept.

    Rows that a resumed run logs again stand below the old ones: readers take the last.
    """

    def __init__(self, *args: Any, append: object = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._append = bool(append)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml holds them already."""

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir, self._append)
        return self._experiment


class _Writer(ExperimentWriter):
    """Never leaves fewer rows behind than it found, whenever the process dies."""

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

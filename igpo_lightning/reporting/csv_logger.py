"""Lightning's CSV logger, able to go on with the file of an interrupted run."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger as LightningCSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter


class CSVLogger(LightningCSVLogger):
    """As Lightning's, which deletes an existing file; if ``append`` is true its rows are kept.

    Rows that a resumed run logs again stand below the old ones: readers take the last.
    """

    def __init__(self, *args: Any, append: object = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._earlier = self._read() if append else []

    @property
    def experiment(self) -> Any:
        if not self._earlier:
            return super().experiment
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Experiment logs directory")  # says they will be deleted
            writer = super().experiment
        if isinstance(writer, ExperimentWriter):  # processes other than the first have a stand-in
            writer.metrics, self._earlier = self._earlier, []
            writer.save()
        return writer

    def _read(self) -> list[dict[str, str]]:
        path = Path(self.log_dir) / "metrics.csv"
        if not path.exists():
            return []
        with path.open(encoding="utf-8", newline="") as file:
            return [{key: cell for key, cell in row.items() if cell} for row in csv.DictReader(file)]

"""Lightning's CSV logger, able to go on with the file of a run that was killed at any moment."""

from __future__ import annotations

from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger as LightningCSVLogger

from igpo_lightning.lightning_private import LastingWriter


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
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = LastingWriter(self.log_dir, self._append)
        return self._experiment

"""One job: ``python -m igpo_lightning.sweeping package.module:function JOB_FOLDER``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.cli.terminal import show_anything
from igpo_lightning.processes import stay_with_first
from igpo_lightning.sweeping.job import attempt, rank
from igpo_lightning.sweeping.own_process import CONFIG
from igpo_lightning.sweeping.record import Record


def main(target: str, folder: Path) -> int:
    """Run ``target`` with the folder's config, and write what became of it; returns the exit status."""

    def run(cfg: DictConfig) -> Any:
        module, _, function = target.partition(":")
        return getattr(importlib.import_module(module), function)(cfg)

    stay_with_first()
    show_anything()
    try:
        record, cfg = Record.read(folder), OmegaConf.load(folder / CONFIG)
        assert record is not None and isinstance(cfg, DictConfig)  # the sweep has just written both
        outcome = attempt(record, run, cfg, folder)
    except KeyboardInterrupt:
        return 130
    if rank() == 0:  # the others repeat what the first one did
        outcome.write(folder)
    return 0 if outcome.state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

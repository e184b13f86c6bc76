"""Make a model folder of a checkpoint: ``python -m igpo_lightning.export FOLDER output_dir=FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

from igpo_lightning.cli.folders import RUN, check_kind, composed, program

_ABOUT = """\
Make a model folder of a run: of what it ended with, or of a checkpoint, whatever strategy wrote it.
"""
_SETTINGS = {
    "output_dir=FOLDER": "where the model goes: a new folder; has to be given",
    "checkpoint=NAME": "best, newest, or a path; without it the last weights, of a run that is on the newest",
    "merge=true": "add LoRA adapters to the weights and write a whole model",
    "license=NAME": "of the model card, e.g. apache-2.0",
    "push=NAME/MODEL": "upload it to the hub, too; a new repository is private",
    "dtype=NAME": "of the weights; without it the run's. In bfloat16 merging rounds: take float32",
}


def _run(folder: Path, texts: list[str]) -> None:
    cfg = composed("export", "run", folder, texts)
    check_kind(folder, RUN)
    from igpo_lightning.training.exporting import run

    run(cfg)


main = program("export", _run, _ABOUT, _SETTINGS, key="run")

if __name__ == "__main__":
    sys.exit(main())

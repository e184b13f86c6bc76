"""The training program, which kills itself at a chosen moment.

python killed_program.py SIGNAL MOMENT COUNT OVERRIDE...    at the COUNT-th time that MOMENT comes
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

import igpo_lightning.lightning_private as lightning_private
import igpo_lightning.training.checkpoints as checkpoints
from igpo_lightning.models import Policy
from igpo_lightning.rollout import RolloutEngine
from igpo_lightning.train import main
from igpo_lightning.training.module import DiffusionModule

# Name → (owner, attribute, whether to strike before or after it). Together they cover the rollout, the
# update, logging, validation, and every stage of saving.
MOMENTS: dict[str, tuple[Any, str, str]] = {
    "rollout begins": (RolloutEngine, "run", "before"),
    "rollout ends": (RolloutEngine, "run", "after"),
    "model call": (Policy, "forward", "before"),
    "loss computed": (DiffusionModule, "training_step", "after"),
    "optimizer steps": (torch.optim.AdamW, "step", "after"),
    "metrics logged": (lightning_private.LastingWriter, "save", "after"),
    "new columns": (lightning_private.LastingWriter, "_rewrite_with_new_header", "before"),
    "validation": (DiffusionModule, "validation_step", "after"),
    "saving begins": (checkpoints.Checkpoints, "_save", "before"),
    "save half written": (checkpoints.DirectIO, "save_checkpoint", "half"),
    "save gets its name": (checkpoints, "_finish", "before"),
    "saving ends": (checkpoints.Checkpoints, "_save", "after"),
}


def arm(moment: str, count: int, strike: Callable[[], None]) -> None:
    owner, name, when = MOMENTS[moment]
    original, left = getattr(owner, name), [count]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0]:
            return original(*args, **kwargs)
        if when == "before":
            strike()
        result = original(*args, **kwargs)
        if when == "half":
            path = args[2]
            os.truncate(path, os.path.getsize(path) // 2)
        strike()
        return result

    setattr(owner, name, wrapped)


if __name__ == "__main__":
    number, moment, count = getattr(signal, sys.argv[1]), sys.argv[2], int(sys.argv[3])
    sys.argv[1:] = sys.argv[4:]
    if count:
        arm(moment, count, lambda: os.kill(os.getpid(), number))
    main()

"""Runs of the training program, as a user's would be, and what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
TESTS, ROOT = HERE.parent, HERE.parents[1]


def train(folder: Path, *overrides: str) -> str:
    """Run ``llada_shape.py`` in ``folder``; returns what it said on standard error."""
    folder.mkdir(parents=True, exist_ok=True)
    ours = ("DS_ACCELERATOR", "OMP_NUM_THREADS")  # set for tests on a CPU
    env = {
        key: value for key, value in os.environ.items() if key not in ours or not torch.cuda.is_available()
    }
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TESTS), str(HERE), env.get("PYTHONPATH", "")])
    command = [sys.executable, str(HERE / "llada_shape.py"), *overrides]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-4000:])
    assert "destroy_process_group() was not called" not in done.stderr
    return done.stderr


def report(name: str, found: dict[str, Any]) -> None:
    """Print a table of phases; keep it in ``$OUT`` if that is set."""
    print(f"\n{name}")
    for phase, cost in found["phases"].items():
        print(f"  {phase:20} {cost['seconds']:8.2f} s {cost['GiB']:8.2f} GiB")
    if found["drift_max"] is not None:
        print(f"  largest drift        {found['drift_max']:8.4f} nats")
    if out := os.environ.get("OUT"):
        (Path(out) / f"{name.replace(' ', '-')}.json").write_text(json.dumps(found, indent=1))

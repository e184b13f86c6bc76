"""Runs of the training program, as a user's would be, and what came of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
TESTS, ROOT = HERE.parent, HERE.parents[1]


class Run:
    """``llada_shape.py`` with these overrides, started in ``folder``."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ours = ("DS_ACCELERATOR", "OMP_NUM_THREADS")  # set for tests on a CPU
        env = dict(os.environ)
        if torch.cuda.is_available():
            env = {key: value for key, value in env.items() if key not in ours}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TESTS), str(HERE), env.get("PYTHONPATH", "")])
        env["RUN_STARTED"] = str(time.time())
        self._said = folder / "said.txt"  # a file: nobody reads a pipe while other runs are waited for
        with self._said.open("w") as said:
            command = [sys.executable, str(HERE / "llada_shape.py"), *overrides]
            self._process = subprocess.Popen(command, cwd=folder, env=env, stdout=said, stderr=said)

    def end(self, seconds: float = 280) -> str:
        """What it said, when it has ended well."""
        try:
            code = self._process.wait(seconds)
        finally:
            self._process.kill()
        said = self._said.read_text()
        assert code == 0, said[-6000:]
        assert "destroy_process_group() was not called" not in said
        return said


def report(name: str, found: dict[str, Any]) -> None:
    """Print a table of phases; keep it in ``$OUT`` if that is set."""
    print(f"\n{name}")
    for phase, cost in found["phases"].items():
        print(f"  {phase:20} {cost['seconds']:8.2f} s {cost['GiB']:8.2f} GiB")
    if found["drift_max"] is not None:
        print(f"  largest drift        {found['drift_max']:8.4f} nats")
    if out := os.environ.get("OUT"):
        (Path(out) / f"{name.replace(' ', '-')}.json").write_text(json.dumps(found, indent=1))

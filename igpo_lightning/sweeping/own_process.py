"""A job in a process of its own, whose command line Lightning can repeat for further devices.

    python -m igpo_lightning.sweeping.own_process package.module:function JOB_FOLDER

reads the config from ``JOB_FOLDER/.job`` and leaves there what came of it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import resolved_yaml

_FOLDER, _CONFIG, _OUTCOME = ".job", "config.yaml", "outcome.json"


class JobFailed(RuntimeError):
    """The job's own process did not finish it."""


def run_in_own_process(target: str, cfg: DictConfig, folder: Path) -> Any:
    """``target(cfg)``, in a process that may start others.

    Raises:
        ConfigError: As ``target`` did.
        JobFailed: It raised something else, or was killed.
        KeyboardInterrupt: It was interrupted; it has had the time it took to stop.
    """
    place = folder / _FOLDER
    place.mkdir(exist_ok=True)
    (place / _OUTCOME).unlink(missing_ok=True)
    (place / _CONFIG).write_text(resolved_yaml(cfg), encoding="utf-8")
    code = _wait(subprocess.Popen([sys.executable, "-m", __name__, target, str(folder)]))
    outcome = json.loads((place / _OUTCOME).read_text()) if (place / _OUTCOME).exists() else {}
    if code == 0 and "value" in outcome:
        return outcome["value"]
    if outcome.get("bad_input"):
        raise ConfigError(outcome["error"])
    if code in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if code == 0:
        raise SystemExit(0)  # it was asked to stop, and did
    raise JobFailed(outcome.get("error") or f"its process ended with code {code}")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Exit code of ``process``, which hears of Ctrl-C and SIGTERM as this one does."""

    def forward(*_: object) -> None:
        process.terminate()

    try:
        old = signal.signal(signal.SIGTERM, forward)
    except ValueError:  # not the main thread
        old = None
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # the terminal has sent it to the job as well
                continue
    finally:
        if old is not None:
            signal.signal(signal.SIGTERM, old)
        if process.poll() is None:
            process.kill()


def main(target: str, folder: Path) -> int:
    """Run ``target`` with the config in ``folder``; returns the exit status."""
    from igpo_lightning.cli.terminal import show_anything  # its package imports this one

    show_anything()
    cfg = OmegaConf.load(folder / _FOLDER / _CONFIG)
    module, _, function = target.partition(":")
    try:
        outcome = {"value": getattr(importlib.import_module(module), function)(cfg)}
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from igpo_lightning.sweeping.job import cause  # imports this module

        refused = cause(error)
        if refused is None:
            traceback.print_exc()
        text = str(refused) if refused else f"{type(error).__name__}: {error}"
        outcome = {"error": text, "bad_input": refused is not None}
    if os.environ.get("LOCAL_RANK", "0") == "0":  # the others repeat what the first one did
        (folder / _FOLDER / _OUTCOME).write_text(json.dumps(outcome))
    return 0 if "value" in outcome else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

"""A job in a process of its own, whose command line Lightning can repeat for further devices."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import resolved_yaml
from igpo_lightning.sweeping.record import Record

CONFIG = ".job.yaml"


def run_in_own_process(target: str, cfg: DictConfig, folder: Path) -> Record:
    """Run the job in ``folder`` as ``target(cfg)``, in a process that may start others; returns its record.

    Raises:
        ConfigError: The job's record is gone, or broken.
        KeyboardInterrupt: It was interrupted; it has had the time it took to stop.
        SystemExit: It was asked to stop, and did.
    """
    (folder / CONFIG).write_text(resolved_yaml(cfg), encoding="utf-8")
    command = [sys.executable, "-m", "igpo_lightning.sweeping", target, str(folder)]
    code = _wait(subprocess.Popen(command))
    record = Record.read(folder)
    if record is None:
        raise ConfigError(f"{folder}: what became of this job can't be read")
    if code in (130, -signal.SIGINT):
        raise KeyboardInterrupt
    if record.state == "stopped":
        raise SystemExit(0)
    if record.state == "running":  # it was killed, or could not even begin
        return replace(record, state="failed", error=f"its process ended with code {code}")
    return record


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

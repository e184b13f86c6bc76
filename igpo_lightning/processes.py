"""Processes of one run on this machine: they find each other or say why not, and none is left behind.

Without a launcher (torchrun, srun) the first process starts the others through Lightning, which ends them
only while the first one is alive: one that died at its start left them waiting for half an hour.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from igpo_lightning.errors import ConfigError
from igpo_lightning.stopping import end_at_once

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_FIRST = "IGPO_FIRST_PROCESS"  # number of the process that starts the others; they inherit it
_LOOK = 1.0  # seconds
_SOON = 2.5  # seconds until all processes have come upon the same error
_GRACE = 20.0  # seconds for a process to end by itself, as all do at the end of a run and after an error
_PORTS = range(1, 1 << 16)


def stay_with_first() -> None:
    """End this process when the one that started it for another device has ended, for whatever reason.

    Does nothing in a process that was not started so. Called first of all in a program.
    """
    first, rank = os.environ.get(_FIRST), os.environ.get("LOCAL_RANK", "0")
    if first is not None and rank != "0":
        threading.Thread(target=_watch, args=(int(first),), daemon=True).start()


def has_nothing_to_add() -> bool:
    """True in a process that the first one started, if that ends within a moment: it has told the error."""
    first, until = os.environ.get(_FIRST), time.monotonic() + _SOON
    if first is None or os.environ.get("LOCAL_RANK", "0") == "0":
        return False
    while os.getppid() == int(first):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


@contextmanager
def connecting(trainer: Trainer) -> Iterator[None]:
    """Within this context ``trainer`` may start further processes and connect all of them.

    Raises:
        ConfigError: They can't be connected by way of ``MASTER_PORT``.
        SystemExit: A connection broke because another process ended, whose exit code this is: what it said
            is the cause, and this process's own error only follows from it.
    """
    if trainer.world_size == 1:
        yield
        return
    from torch.distributed import DistNetworkError  # the command line does without torch

    _check_port()
    if "LOCAL_RANK" not in os.environ:
        os.environ[_FIRST] = str(os.getpid())
    end_at_once()
    try:
        yield
    except RuntimeError as error:  # as torch tells all that goes wrong between processes
        launcher = trainer.strategy.launcher
        reason = _of_the_port(str(error)) if isinstance(error, DistNetworkError) else None
        if reason is None and (other := _ended(getattr(launcher, "procs", None) or ())):
            _follow(*other)
        if isinstance(error, DistNetworkError) and launcher is not None:
            launcher.kill(signal.SIGKILL)  # at once: they would write into a folder that is removed
        if reason is None:
            raise
        raise ConfigError(f"MASTER_PORT={os.environ.get('MASTER_PORT')}: {reason}") from error


def _of_the_port(error: str) -> str | None:
    """Reason that an error gives about the port; None if it is about something else."""
    if "EADDRINUSE" in error:
        return "another program on this machine listens there; unset it, or name a free port"
    if "EACCES" in error:
        return "only the administrator may listen there; unset it, or name a port from 1024 on"
    return None


def _ended(others: Sequence[subprocess.Popen[Any]]) -> tuple[int, int] | None:
    """(rank, exit code) of a process that has ended with an error, or is about to."""
    until = time.monotonic() + _GRACE
    while others and time.monotonic() < until:
        for rank, process in enumerate(others, start=1):
            if code := process.poll():
                return rank, code
        time.sleep(0.1)
    return None


def _follow(rank: int, code: int) -> NoReturn:
    how = f"exit code {code}; what it said stands above" if code > 0 else f"signal {-code}"
    print(f"error: process {rank} ended by {how}", file=sys.stderr)
    raise SystemExit(code if code > 0 else 128 - code) from None


def _check_port() -> None:
    port = os.environ.get("MASTER_PORT")
    if port is not None and not (port.isdecimal() and int(port) in _PORTS):
        raise ConfigError(f"MASTER_PORT={port}: expected a number from 1 to {_PORTS[-1]}; or unset it")


def _watch(first: int) -> None:
    while os.getppid() == first:
        time.sleep(_LOOK)
    if _connected():
        time.sleep(_GRACE)
    os._exit(1)  # it may be waiting within C code, where no exception gets through


def _connected() -> bool:
    connections = sys.modules.get("torch.distributed")
    is_initialized = getattr(connections, "is_initialized", None)  # None while it is being imported
    return is_initialized is not None and is_initialized()

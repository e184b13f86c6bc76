"""Processes of one run on this machine: they find each other or say why not, and none is left behind.

Without a launcher (torchrun, srun) the first process starts the others through Lightning, which ends them
only while the first one is alive: one that died at its start left them waiting for half an hour.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from igpo_lightning.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_FIRST = "IGPO_FIRST_PROCESS"  # number of the process that starts the others; they inherit it
_LOOK = 1.0  # seconds
_GRACE = 20.0  # seconds for a process to end by itself, as all do at the end of a run
_PORTS = range(1, 1 << 16)


def stay_with_first() -> None:
    """End this process when the one that started it for another device has ended, for whatever reason.

    Does nothing in a process that was not started so. Called first of all in a program.
    """
    first, rank = os.environ.get(_FIRST), os.environ.get("LOCAL_RANK", "0")
    if first is not None and rank != "0":
        threading.Thread(target=_watch, args=(int(first),), daemon=True).start()


@contextmanager
def connecting(trainer: Trainer) -> Iterator[None]:
    """Within this context ``trainer`` may start further processes and connect all of them.

    Raises:
        ConfigError: They can't be connected by way of ``MASTER_PORT``.
    """
    if trainer.world_size == 1:
        yield
        return
    from torch.distributed import DistNetworkError  # the command line does without torch

    _check_port()
    if "LOCAL_RANK" not in os.environ:
        os.environ[_FIRST] = str(os.getpid())
    try:
        yield
    except DistNetworkError as error:
        if (launcher := trainer.strategy.launcher) is not None:
            launcher.kill(signal.SIGKILL)  # at once: they would write into a folder that is removed
        port, text = os.environ.get("MASTER_PORT"), str(error)
        if "EADDRINUSE" in text:
            reason = "another program on this machine listens there; unset it, or name a free port"
        elif "EACCES" in text:
            reason = "only the administrator may listen there; unset it, or name a port from 1024 on"
        else:
            raise
        raise ConfigError(f"MASTER_PORT={port}: {reason}") from error


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

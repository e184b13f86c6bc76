"""One run per folder at a time: a file that says who is at work there."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError

FILE = "run.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which is made if there is none. Call it on one of a run's processes only.

    The system gives a lock back when its process ends, however it ends; where a file system has no locks,
    the number and the start of the process say whether it is still there. Of another host's process that
    can't be told, so its file is taken over only by a later attempt of the same SLURM job.

    Raises:
        ConfigError: Another process is at work there, or may be; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, free = _open(folder / FILE)
    try:
        mine, other = _self(), _read(file)
        if not free or (other and not _is_over(other, mine)):
            raise ConfigError(_refusal(folder, other, free))
        _write(file, mine)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(folder / FILE)
    finally:
        os.close(file)


def _refusal(folder: Path, other: dict[str, Any] | None, free: bool) -> str:
    who, how = "another process is at work in it", "wait for it or stop it, or name another folder"
    if other:
        who = f"process {other['pid']} on {other['host']} has been at work in it since {other['started']}"
        if free and other["host"] != socket.gethostname():
            how = f"if it has ended there, delete {folder / FILE}; otherwise name another folder"
    return f"output_dir={folder}: {who}; {how}"


def _self() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "born": _born(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def _is_over(other: dict[str, Any], mine: dict[str, Any]) -> bool:
    """Whether the process that wrote a lock has ended, as far as can be known here."""
    if other["host"] != mine["host"]:
        return mine["job"] is not None and other.get("job") == mine["job"]
    if other["pid"] == mine["pid"]:
        return True  # left by an earlier run of this process, or by another one with the same number
    try:
        os.kill(other["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, and alive
    return other.get("born") != _born(other["pid"])


def _born(pid: int) -> str | None:
    """When a process started, in the clock's ticks since boot: numbers of processes come again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def _open(path: Path) -> tuple[int, bool]:
    """The lock's file, and whether nobody holds it (any more)."""
    import fcntl  # not on Windows

    while True:
        file, free = os.open(path, os.O_RDWR | os.O_CREAT, 0o644), True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        except OSError:
            pass  # a file system without locks
        with suppress(FileNotFoundError):  # its owner has deleted it meanwhile
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file, free
        os.close(file)


def _read(file: int) -> dict[str, Any] | None:
    """Who wrote it; None if it is new, or was torn by a crash."""
    try:
        content = json.loads(os.pread(file, 10_000, 0))
        return content if {"pid", "host", "started"} <= set(content) else None
    except (ValueError, TypeError):
        return None


def _write(file: int, content: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(content).encode(), 0)
    os.fsync(file)

"""One run per folder at a time: a file that says who is at work there."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError

FILE = "run.lock"
POLL = 1.0  # seconds between two looks at what is waited for
BEAT = 20.0  # seconds between two signs of life of whoever holds what others wait for
SILENCE = 300.0  # seconds without one, of another host's process, until it counts as ended
SETTLE = 1.0  # seconds


class Occupied(ConfigError):
    """Another process is at work in a folder, or may be.

    Attributes:
        who: It, in words.
        lock: What it has written, if that can be read.
        is_known: Whether the system says that it is there.
    """

    def __init__(self, folder: Path, lock: dict[str, Any] | None, is_known: bool):
        self.lock, self.is_known = lock, is_known
        self.who, how = "another process is at work in it", "wait for it or stop it, or name another folder"
        if lock:
            at = f"process {lock['pid']} on {lock['host']}"
            self.who = f"{at} has been at work in it since {lock['started']}"
            if not is_known and lock["host"] != socket.gethostname():
                how = f"if it has ended there, delete {folder / FILE}; otherwise name another folder"
        super().__init__(f"output_dir={folder}: {self.who}; {how}")


@contextmanager
def locked(folder: Path, ended: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Hold ``folder``, which is made if there is none. Call it on one of a run's processes only.

    The system gives a lock back when its process ends, however it ends; where a file system has no locks,
    the number and the start of the process say whether it is still there. Of another host's process that
    can't be told, so its file is taken over only by a later attempt of the same SLURM job.

    Args:
        ended: The content of a lock whose process is known to have ended.

    Yields:
        The content of the lock.

    Raises:
        Occupied: Another process is at work there, or may be; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, free = _open(folder / FILE)
    try:
        mine, other = _self(), _read(folder / FILE)
        if not free or (other and other != ended and not _is_over(other, mine)):
            raise Occupied(folder, other, is_known=not free)
        _write(file, mine)
        try:
            yield mine
        finally:
            if _read(folder / FILE) == mine:
                os.unlink(folder / FILE)
    finally:
        os.close(file)


@contextmanager
def awaited(folder: Path, done: Callable[[], bool], say: Callable[[str], None]) -> Iterator[bool]:
    """Wait until ``done()`` or until nobody is at work in ``folder``, and then hold it as by :func:`locked`.

    Who holds it gives the file a new time now and then. Another host's process that has stopped doing so
    has ended.

    Args:
        done: Whether there is nothing left to do in it. Called at every look; it may raise.
        say: Called once with words for the process that is waited for, if there is one.

    Yields:
        Whether there is something left to do. If so, the folder is held.
    """
    seen, since, ended = None, 0.0, None
    with ExitStack() as stack:
        while not done():
            try:
                mine = stack.enter_context(locked(folder, ended))
            except Occupied as occupied:
                if seen is None:
                    say(occupied.who)
                state, now = (occupied.lock, _time(folder / FILE)), time.monotonic()
                since, seen = (since, seen) if state == seen else (now, state)
                ended = None if occupied.is_known or now - since < SILENCE else occupied.lock
                if ended is None:
                    time.sleep(POLL)
                continue
            # Where nodes don't see each other's locks, several may have found it free: the last one has it.
            time.sleep(SETTLE)
            if _read(folder / FILE) == mine:
                stack.enter_context(_signs_of_life(folder / FILE))
                break
            stack.close()
        else:
            yield False
            return
        yield not done()


@contextmanager
def _signs_of_life(path: Path) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        while not over.wait(BEAT):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


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
    """When a process started, in the clock's ticks since boot: numbers of processes come again.

    None of one that has ended, also if nobody has asked for its exit code yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


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


def _read(path: Path) -> dict[str, Any] | None:
    """Who wrote it; None if there is none, it is new, or was torn by a crash."""
    try:
        content = json.loads(path.read_bytes())
        return content if {"pid", "host", "started"} <= set(content) else None
    except (OSError, ValueError, TypeError):
        return None


def _write(file: int, content: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(content).encode(), 0)
    os.fsync(file)

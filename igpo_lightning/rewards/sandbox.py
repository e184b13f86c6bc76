"""Runs programs of a model in processes that can only compute: see :mod:`.sandbox_server` for how."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError, positive, positive_int
from igpo_lightning.rewards.pool import Pool

_SERVER = Path(__file__).with_name("sandbox_server.py")
_START_SECONDS = 60.0
_WALL_FACTOR = 10
_GRACE = 5.0  # seconds that the server may need to end a job

MODULES = (
    *("abc", "array", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib", "copy"),
    *("dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq", "itertools", "json"),
    *("math", "numbers", "operator", "queue", "random", "re", "statistics", "string", "textwrap", "time"),
    *("types", "typing"),
)
"""Modules that a program may import: they are loaded before it starts, for then it can open no file."""

KEY = "reward.terms.tests.sandbox"
_PROBE = """
import os
try: os.fork()
except OSError: print("refused", end="")
"""

FAILED = object()
"""Result of a job that gave none."""


class Sandbox:
    """Runs jobs, one process each; safe to call from any thread.

    Args:
        seconds: Of processor time for one job, in whole ones; ten times as much wall-clock time ends it, too.
        memory_mb: MiB of address space on top of Python's own.
        output_kb: KiB of a result; one that is longer is none.
        workers: Jobs at once.
        modules: Modules that a program may import.
        unsafe: Run where the kernel can't refuse system calls. Then limits on time, memory, output and,
            unless it runs as root, processes are all that holds: a program can read the files of whoever
            runs it, reach the network, and kill or deceive other processes of theirs.

    Raises:
        ConfigError: A value makes no sense, a module can't be loaded, or the kernel can't do this and
            ``unsafe`` is not set.
    """

    def __init__(
        self,
        seconds: float = 2.0,
        memory_mb: int = 256,
        output_kb: int = 64,
        workers: int = 1,
        modules: Sequence[str] = MODULES,
        unsafe: bool = False,
    ) -> None:
        self._wall = _WALL_FACTOR * math.ceil(positive(f"{KEY}.seconds", seconds))
        self._most = 1024 * positive_int(f"{KEY}.output_kb", output_kb)
        memory = 2**20 * positive_int(f"{KEY}.memory_mb", memory_mb)
        self._settings = json.dumps(
            {
                "cpu": seconds,
                "wall": self._wall,
                "memory": memory,
                "modules": list(modules),
                "unsafe": bool(unsafe),
            }
        )
        if sys.platform != "linux":
            raise ConfigError(f"{KEY}: it runs on Linux only")
        self._servers = Pool(self._start, max(1, workers))
        if not unsafe and self.run({"code": _PROBE, "stdin": ""}) != "refused":
            raise ConfigError(
                f"{KEY}: this machine's kernel can't confine programs (it takes Linux with seccomp, on "
                f"x86_64 or aarch64); {KEY}.unsafe=true runs them all the same, with your rights"
            )

    def run(self, job: Mapping[str, Any]) -> Any:
        """The encoded result of a job; FAILED if it has none, or takes too much of anything.

        Args:
            job: ``code``, and ``call``, ``args`` and ``kwargs`` (encoded), or ``stdin``.
        """
        with self._servers.lend() as server:
            raw = server.run(json.dumps(job).encode(), self._wall + _GRACE, self._most)
        try:
            return FAILED if raw is None else json.loads(raw)
        except (ValueError, RecursionError):
            return FAILED

    def close(self) -> None:
        """Stop the servers; the next job starts a new one."""
        self._servers.close()

    def _start(self) -> _Server:
        return _Server(self._settings)


class _Server:
    """One fork server. Not thread-safe: the pool lends it to one caller."""

    def __init__(self, settings: str) -> None:
        self._pid = os.getpid()
        self._control, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-s", "-B", str(_SERVER), str(theirs.fileno()), settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            cwd="/",
            env={**_libraries(), "PYTHONHASHSEED": "0"},  # verdicts repeat, and no key is there to be read
            start_new_session=True,
        )
        theirs.close()
        self._finalizer = weakref.finalize(self, _end, self._process, self._control)
        self._control.settimeout(_START_SECONDS)
        if self._said() != b"+":
            self.stop()
            raise ConfigError(
                f"{KEY}: its process did not start; can all of its 'modules' be imported by "
                f"{sys.executable} -S?"
            )

    def usable(self) -> bool:
        """False once the process has ended, and in a fork of the process that started it."""
        return self._pid == os.getpid() and self._process.poll() is None

    def run(self, job: bytes, seconds: float, most: int) -> bytes | None:
        """All that the job's process sends; None if that is too much, or nothing in time."""
        ours, theirs = socket.socketpair()
        received = b""
        with ours:
            ours.settimeout(seconds)
            self._control.settimeout(seconds)
            try:
                socket.send_fds(self._control, [b"!"], [theirs.fileno()])
                theirs.close()
                ours.sendall(job)
                ours.shutdown(socket.SHUT_WR)
                while len(received) <= most and (chunk := ours.recv(65536)):
                    received += chunk
            except OSError:
                received = b""
            finally:
                theirs.close()
        if self._said() != b".":
            self.stop()
            return None
        return received if 0 < len(received) <= most else None

    def stop(self) -> None:
        self._finalizer()

    def _said(self) -> bytes:
        try:
            return self._control.recv(1)
        except OSError:
            return b""


def _libraries() -> dict[str, str]:
    """Variables without which some builds of Python do not start."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}


def _end(process: subprocess.Popen, control: socket.socket) -> None:
    control.close()
    process.kill()
    process.wait()

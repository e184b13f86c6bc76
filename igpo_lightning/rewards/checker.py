"""math-verify in a process of its own.

It parses untrusted text with sympy: it may loop, eat memory, and uses SIGALRM. It therefore lives in
long-lived child processes with bounds of time and memory, started when first needed.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import IO

from igpo_lightning.rewards.pool import Pool

_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 120.0  # importing sympy on a busy disk; no answer is being timed yet
_WALL_FACTOR = 10


class Checker:
    """Asks math-verify about pairs of answers; safe to call from any thread.

    Args:
        timeout: Seconds of processor time for one pair; ten times as much wall-clock time ends it, too.
        memory_gb: GiB of address space on top of the libraries.
        workers: Processes at most; further callers wait for one.

    Attributes:
        timeouts: Pairs so far that took too much time or memory.
    """

    def __init__(self, timeout: float, memory_gb: float, workers: int = 1) -> None:
        self.timeout, self.memory_gb = timeout, memory_gb
        self.timeouts, self._lock = 0, threading.Lock()
        self._workers = Pool(self._start, workers)

    def equal(self, candidate: str, gold: str) -> bool:
        """math-verify's verdict; a pair that fails or takes too long is not equal."""
        with self._workers.lend() as worker:
            answer = worker.ask(json.dumps([candidate, gold]), _WALL_FACTOR * self.timeout)
            if answer is None:
                worker.stop()
        if answer is None:
            with self._lock:
                self.timeouts += 1
        return answer == "1"

    def close(self) -> None:
        """Stop the processes that are idle; the next pair starts a new one."""
        self._workers.close()

    def _start(self) -> _Worker:
        return _Worker(int(self.memory_gb * 2**30), cpu_seconds=self.timeout)


class _Worker:
    """One child process and the line protocol to it. Not thread-safe: a pool lends it to one caller."""

    def __init__(self, memory_bytes: int, cpu_seconds: float) -> None:
        self._pid = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), str(memory_bytes), str(cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in a terminal is not for it: the answer would count as wrong
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None  # both are pipes
        self._stdin, self._stdout = stdin, stdout
        self._unread = b""
        self._finalizer = weakref.finalize(self, _end, self._process, stdin, stdout)
        if self._read_line(_START_SECONDS) != "ready":
            self.stop()
            raise RuntimeError(
                "the answer checker did not start: 'import math_verify' fails or takes over "
                f"{_START_SECONDS:.0f} s in {sys.executable}; install math-verify[antlr4_9_3]"
            )

    def usable(self) -> bool:
        """False once the process has ended, and in a fork of the process that started it."""
        return self._pid == os.getpid() and self._process.poll() is None

    def ask(self, line: str, timeout: float) -> str | None:
        """The worker's reply, or None if it died or took longer than ``timeout`` seconds."""
        try:
            self._stdin.write(line.encode() + b"\n")
        except OSError:
            return None
        return self._read_line(timeout)

    def stop(self) -> None:
        self._finalizer()

    def _read_line(self, timeout: float) -> str | None:
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                chunk = os.read(self._stdout.fileno(), 4096)
                if not chunk:
                    return None
                self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()


def _end(process: subprocess.Popen, *pipes: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in pipes:
        pipe.close()

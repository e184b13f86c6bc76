"""Seconds by phase, memory and operations of one piece of work."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..progress import Work

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_PEAK = "5"  # what resets the peak of the resident set (proc(5))


@dataclass
class Turn:
    """One measurement.

    Attributes:
        seconds: From start to stop.
        cpu: Seconds of processor time of the process in between, where the work is done by the CPU: other
            processes on the machine hardly change it. 0 elsewhere.
        phases: Seconds of the parts that have a name; the rest is of the work itself.
        memory: Most bytes that were held at once: of a GPU all that torch allocated; on a CPU the resident
            set of the whole process, or None where the system does not tell.
        before: As much, at the start.
        tokens: Made, or trained on.
        row_forwards: Rows summed over model calls while sampling; None where the work does not tell.
    """

    seconds: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    memory: int | None = None
    before: int | None = None
    cpu: float = 0.0
    tokens: int = 0
    row_forwards: int | None = None


class Meter:
    """A watch that a contender starts and stops around its work; the device has finished at both.

    Args:
        device: The work's.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.turn = device, Turn()
        self._started = self._cpu = 0.0
        self._phase: tuple[str, float] | None = None

    def start(self) -> None:
        self._wait()
        self.turn = Turn(before=self._reset())
        self._cpu, self._started = time.process_time(), time.perf_counter()

    def stop(self) -> None:
        self._wait()
        self.turn.seconds = time.perf_counter() - self._started
        if self.device.type == "cpu":
            self.turn.cpu = time.process_time() - self._cpu
        self.turn.memory = self._memory()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within this context the watch runs."""
        self.start()
        yield
        self.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Within this context the time is ``name``'s."""
        self._begin(name)
        yield
        self._end()

    def observe(self, work: Work) -> None:
        """Take the phases from :mod:`igpo_lightning.progress`."""
        if work.over:
            self._end()
        elif self._phase is None:
            self._begin(work.name)

    def _begin(self, name: str) -> None:
        self._wait()
        self._phase = (name, time.perf_counter())

    def _end(self) -> None:
        if self._phase is None:
            return
        self._wait()
        name, since = self._phase
        self.turn.phases[name] = self.turn.phases.get(name, 0.0) + time.perf_counter() - since
        self._phase = None

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _reset(self) -> int | None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return torch.cuda.memory_allocated(self.device)
        _give_back()
        try:
            _CLEAR.write_text(_PEAK)
        except OSError:
            return None
        return self._memory()

    def _memory(self) -> int | None:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resident_peak()


def resident_peak() -> int | None:
    """Most bytes of memory that this process has held since its peak was reset; None if not told."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else None


def _give_back() -> None:
    """Let the C library hand freed memory back, or an earlier turn's would count as held."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return

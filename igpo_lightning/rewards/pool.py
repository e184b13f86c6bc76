"""Child processes that are lent to one caller at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Child(Protocol):
    """A process, and the way to speak with it."""

    def usable(self) -> bool:
        """False once it has ended, and in a fork of the process that started it."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


C = TypeVar("C", bound=Child)


class Pool(Generic[C]):
    """Children that are started when needed, and kept; safe to call from any thread.

    Args:
        start: Starts one.
        size: Most at once; further callers wait.
    """

    def __init__(self, start: Callable[[], C], size: int) -> None:
        self._start = start
        self._free = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()  # of what follows
        self._idle: list[C] = []

    @contextmanager
    def lend(self) -> Iterator[C]:
        """A child for this caller alone; one that is stopped meanwhile is not lent again."""
        with self._free:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None or not child.usable():
                child = self._start()
            try:
                yield child
            except BaseException:
                child.stop()  # what it is about to say belongs to nobody
                raise
            if child.usable():
                with self._lock:
                    self._idle.append(child)

    def close(self) -> None:
        """Stop those that are idle; the next caller starts a new one."""
        with self._lock:
            while self._idle:
                self._idle.pop().stop()

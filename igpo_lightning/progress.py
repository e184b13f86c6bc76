"""Progress of a long piece of work, told by those who do it to whoever shows it.

Sampling, scoring and scoring log-probs know nothing of consoles::

    with progress.work("sample", rows=256, width=256):
        ...
        progress.began(rows=64)              # a call that holds 64 of them
        progress.step(done=3, total=128)     # in it, host numbers only
        progress.finished()                  # the call's rows are done

An observer that is :func:`observed` is called after each of these with the :class:`Work`. With none,
they cost next to nothing; they never touch a tensor, so they never wait for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Observer = Callable[["Work"], None]


@dataclass
class Work:
    """A piece of work, and how far it is.

    Attributes:
        name: What is being done, such as "sample".
        rows: How many there are in all.
        width: Tokens that each of them will have got; 0 where no tokens are made.
        done: Rows that are done.
        pending: Rows of the call under way.
        share: How far that call is, from 0 to 1.
        block, blocks: Where in it, counted from 1; 0 where there are no blocks.
        rollout: The rollout that it is a part of, if any.
        over: Whether the work has ended.
    """

    name: str
    rows: int
    width: int = 0
    done: int = 0
    pending: int = 0
    share: float = 0.0
    block: int = 0
    blocks: int = 0
    rollout: int | None = None
    over: bool = False

    @property
    def progress(self) -> float:
        """Rows that are done, the shares of those under way included."""
        return self.done + self.pending * self.share

    @property
    def tokens(self) -> float:
        """Tokens that have been made."""
        return self.progress * self.width


_observer: ContextVar[Observer | None] = ContextVar("observer", default=None)
_work: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Within this context ``observer`` is told of all work of this thread."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def work(name: str, rows: int, width: int = 0, rollout: int | None = None) -> Iterator[None]:
    """Within this context ``rows`` rows are worked on. Within other work it is a part of that."""
    if _work.get() is not None:
        yield
        return
    now = Work(name, rows, width, rollout=rollout)
    token = _work.set(now)
    _tell(now)
    try:
        yield
        now.over = True
        _tell(now)
    finally:
        _work.reset(token)


def began(rows: int) -> None:
    """A call with ``rows`` of the rows begins."""
    if (now := _work.get()) is not None:
        now.pending, now.share, now.block, now.blocks = rows, 0.0, 0, 0
        _tell(now)


def step(done: int, total: int, block: int = 0, blocks: int = 0) -> None:
    """The call under way has made ``done`` of ``total`` steps, and is in ``block`` of ``blocks``."""
    if (now := _work.get()) is not None:
        now.share, now.block, now.blocks = done / total, block, blocks
        _tell(now)


def finished() -> None:
    """The call that began last has ended."""
    if (now := _work.get()) is not None:
        now.done += now.pending
        now.pending, now.share = 0, 0.0
        _tell(now)


def _tell(now: Work) -> None:
    if (observer := _observer.get()) is not None:
        observer(now)

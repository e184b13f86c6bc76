"""SIGTERM means: finish this update, save, and end well."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_requested = threading.Event()


class Stopped(Exception):
    """The run was asked to stop, and has saved what it needs to go on."""


def stop_requested() -> bool:
    """Whether this process has got a SIGTERM within :func:`stop_on_sigterm`."""
    return _requested.is_set()


@contextmanager
def stop_on_sigterm() -> Iterator[None]:
    """Within this context SIGTERM asks to stop between two updates; a second one ends the process at once.

    Outside the main thread, where signals can't be handled, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requested.clear()
    former = signal.getsignal(signal.SIGTERM)
    listen()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
        _requested.clear()


def listen() -> None:
    """Take SIGTERM for ourselves; to be said again once Lightning has put its own handler in place.

    Lightning's stops within an update, saves nothing, and calls a collective from the signal handler.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _ask)


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit of its own; give it back as what it was."""
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def _ask(number: int, frame: object) -> None:
    _requested.set()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

"""Handling of Ctrl-C and SIGTERM: the first finishes the update, saves and ends; a second ends at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_state = {"asked": 0, "training": False}  # the signal that came; whether there is something to save


class Stopped(Exception):
    """The run was asked to stop, and has saved what it needs to go on.

    Attributes:
        by: The signal that asked.
    """

    def __init__(self, message: str, by: int = signal.SIGTERM):
        super().__init__(message)
        self.by = by


def stop_requested() -> int:
    """The signal that has asked this process to stop within :func:`stop_on_signals`, 0 if none has."""
    return _state["asked"]


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Within this context SIGINT and SIGTERM ask to stop between two updates.

    While there is nothing to save (before :func:`listen`, after :func:`forget`) SIGINT ends the process
    as it does elsewhere. Outside the main thread, where signals can't be handled, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.getsignal(number) for number in _SIGNALS}
    _state.update(asked=0, training=False)
    _handle()
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        _state.update(asked=0, training=False)


def end_at_once() -> None:
    """Let SIGTERM end the process where it stands, until :func:`listen`.

    While processes connect they wait within C code, where no handler of ours would run.
    """
    if threading.current_thread() is threading.main_thread() and not _state["asked"]:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def listen() -> None:
    """Let signals wait for the end of an update, from now on.

    It takes the signals once more: Lightning, meanwhile, has taken SIGTERM, and would stop within an
    update, save nothing, and call a collective from the signal handler.
    """
    if threading.current_thread() is threading.main_thread() and not _state["asked"]:
        _state["training"] = True
        _handle()


def forget() -> None:
    """Let signals act at once again, as all updates are done."""
    _state["training"] = False


@contextmanager
def interruptible(trainer: Trainer) -> Iterator[None]:
    """Lightning turns Ctrl-C into an exit of its own; give it back as what it was.

    Of no other exception: Lightning calls each an interruption.
    """
    try:
        yield
    except SystemExit:
        if not trainer.interrupted:
            raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def _handle() -> None:
    for number in _SIGNALS:
        signal.signal(number, _ask)


def _ask(number: int, frame: object) -> None:
    if number == signal.SIGINT and not _state["training"]:
        raise KeyboardInterrupt
    _state["asked"] = number
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if number == signal.SIGINT and os.environ.get("LOCAL_RANK", "0") == "0":
        # Not print: what the signal interrupts may be in the middle of a print itself.
        os.write(2, b"\nstopping after this update, which is saved; once more to stop at once\n")

"""A hang becomes an error that says which process hangs, and in what."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from ...checks import ConfigError
from ...files import write_atomic

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the job may be tried again
_DEBUGGERS = {"bdb", "pdb", "debugpy", "pydevd", "_pydevd_bundle"}  # modules on the stack of who waits in one


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of a process: what it was doing, at which time (seconds since the epoch).

    ``phase`` is setup, rollout, loading, update, validation, save, debugger, or the error that ended it;
    ``rollout`` the one last trained on, from 0; ``update`` counts those that are done.
    """

    rank: int
    phase: str = "setup"
    rollout: int | None = None
    update: int | None = None
    at: float = field(default_factory=time.time)

    def describe(self, now: float) -> str:
        """``rank 1: rollout (rollout 3, 12 updates done), 40 s ago``; rollouts count from 1 here."""
        where = [] if self.rollout is None else [f"rollout {self.rollout + 1}"]
        where += [] if self.update is None else [f"{self.update} updates done"]
        at = f" ({', '.join(where)})" if where else ""
        return f"rank {self.rank}: {self.phase}{at}, {now - self.at:.0f} s ago"


def _sign(phase: str | None) -> Callable[..., None]:
    """A hook of Lightning that is a sign of life."""
    return lambda self, trainer, *args, **kwargs: self.beat(trainer, phase)


class Watchdog(Callback):
    """Ends the process when it gave no sign of life for too long.

    Every hook of Lightning and every call of the policy is a sign of life, so a long rollout or
    validation is none of its business. A thread looks every few seconds, and writes what this process is
    doing to ``<folder>/rank-N.json``. When the time is up it prints this process's state and that of the
    others, dumps the stacks of all threads to stderr, and exits with ``EXIT_CODE`` (75) on the spot, so
    that the launcher ends the others. Time in which the process is stopped (Ctrl-Z, a suspended machine)
    or any process of the run is in a debugger does not count. The files are removed at a clean end;
    after an error they tell how far each process came.

    An extension that hangs without giving up the interpreter's lock holds that thread up as well: its
    stack is dumped, but the process is not ended. Locks, sockets and collectives give it up.

    Args:
        timeout: Seconds; null switches the watch off.
        folder: Of the heartbeat files; on several machines, one that all of them see.
    """

    def __init__(self, timeout: float | None = 1800.0, folder: str | Path = "heartbeat") -> None:
        if timeout is not None and timeout <= 0:
            raise ConfigError(f"callbacks.watchdog.timeout={timeout}: expected seconds above 0, or null")
        self.timeout, self.folder = timeout or 0.0, Path(folder)  # 0: off
        self.interval = min(5.0, self.timeout / 4)
        self.rank, self.world = 0, 1
        self.last = Heartbeat(self.rank)  # replaced by the hooks, and looked at by the thread
        self._seen: Heartbeat | None = None
        self._silent, self._looked = 0.0, time.monotonic()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()
        self._hooks: list[Any] = []

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if not self.timeout:
            return
        self.rank, self.world = trainer.global_rank, trainer.world_size
        if self.rank == 0:
            self._forget_others()
        self.last, self._looked = Heartbeat(self.rank), time.monotonic()
        self._over.clear()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        # A session that caches calls the network past the policy, and a reference is another network.
        for called in (pl_module.policy, pl_module.policy.network.model):
            self._hooks.append(called.register_forward_pre_hook(lambda *_: self._policy_is_called(trainer)))

    on_train_start = on_train_batch_end = on_validation_end = _sign(None)
    on_before_optimizer_step = _sign("update")
    on_validation_start = on_validation_batch_end = _sign("validation")
    on_save_checkpoint = _sign("save")

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.last = replace(self.last, rollout=getattr(batch, "index", self.last.rollout))
        self.beat(trainer, "update")

    def _policy_is_called(self, trainer: Trainer) -> None:
        # Sampling has no hook of its own, and a checkpoint may have been saved since the last one.
        self.beat(trainer, None if self.last.phase == "save" else self.last.phase)

    def beat(self, trainer: Trainer, phase: str | None) -> None:
        """A sign of life; ``phase`` is None between two batches."""
        samples = hasattr(getattr(trainer, "datamodule", None), "engine")
        between = "rollout" if samples else "loading"
        self.last = Heartbeat(self.rank, phase or between, self.last.rollout, trainer.global_step)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self._stop():
            with suppress(OSError):
                self._file(self.rank).unlink(missing_ok=True)
                self.folder.rmdir()  # by the last one

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if self._stop():
            phase = f"ended by {type(exception).__name__} in {self.last.phase}"
            self._write(replace(self.last, phase=phase, at=time.time()))

    def _stop(self) -> bool:
        """Stop watching; returns whether it was on."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._over.set()
            thread.join(timeout=5)
            while self._hooks:
                self._hooks.pop().remove()
        return thread is not None

    def _watch(self) -> None:
        while not self._over.wait(self.interval):
            # From another thread, which needs no lock: for the case that this one is held up.
            faulthandler.dump_traceback_later(self.timeout + self.interval, file=_stderr())
            self.look(time.monotonic())
        faulthandler.cancel_dump_traceback_later()

    def look(self, now: float) -> None:
        """See whether there was a sign of life since the last look.

        Args:
            now: Seconds of a clock that never goes back.
        """
        # Only what this thread lived through: a process that was stopped was not hanging.
        self._silent += min(now - self._looked, 2 * self.interval)
        self._looked = now
        if self.last is not self._seen:
            self._seen, self._silent = self.last, 0.0
            self._write(self.last)
        elif _debugged():
            self._silent = 0.0
            self._write(replace(self.last, phase="debugger"))
        elif self._silent >= self.timeout and not any(beat.phase == "debugger" for beat in self.others()):
            self.fire(self._silent)

    def fire(self, silent: float) -> None:
        """Say what is known, and end the process."""
        beats = [self.last, *self.others()]
        now, oldest = time.time(), min(beats, key=lambda beat: beat.at)
        lines = [
            f"error: callbacks.watchdog: no sign of life from rank {self.rank} of {self.world} for "
            f"{silent:.0f} s (timeout: {self.timeout:g}); silent for longest: rank {oldest.rank}",
            *(f"  {beat.describe(now)}" for beat in beats),
            f"the stacks of rank {self.rank}:\n",
        ]
        stderr = _stderr()  # not print: the thread that hangs may hold the stream's lock
        os.write(stderr, "\n".join(lines).encode())
        faulthandler.dump_traceback(file=stderr, all_threads=True)
        os._exit(EXIT_CODE)  # an ordinary exit would wait for what hangs

    def others(self) -> list[Heartbeat]:
        """The last signs of life of the other processes, as far as their files can be seen from here."""
        beats = []
        for rank in (rank for rank in range(self.world) if rank != self.rank):
            with suppress(OSError, ValueError, TypeError):  # not there yet, or left by another version
                beats.append(Heartbeat(**json.loads(self._file(rank).read_text("utf-8"))))
        return beats

    def _forget_others(self) -> None:
        """Remove the signs of life of an earlier start's processes that this one does not have."""
        known = {self._file(rank) for rank in range(self.world)}
        for file in {*self.folder.glob("rank-*.json")} - known:
            file.unlink(missing_ok=True)

    def _write(self, beat: Heartbeat) -> None:
        with suppress(OSError):  # a watch must not end what it watches: the disk may be full
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file(self.rank), json.dumps(asdict(beat)))

    def _file(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}.json"


def _stderr() -> int:
    """The descriptor of the process's own stderr, whatever ``sys.stderr`` has become."""
    return 2 if sys.__stderr__ is None else sys.__stderr__.fileno()


def _debugged() -> bool:
    """Whether the main thread, where Lightning's loops run, is in a debugger."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    names = (f.f_globals.get("__name__", "") for f, _ in traceback.walk_stack(frame))
    return any(name.partition(".")[0] in _DEBUGGERS for name in names)

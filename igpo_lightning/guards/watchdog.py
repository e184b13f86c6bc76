"""A hang becomes an error that says which process hangs, and in what."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from ..checks import ConfigError
from .heartbeat import Heartbeat, HeartbeatFile, ended

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the job may be tried again
_DEBUGGERS = {"bdb", "pdb", "debugpy", "pydevd", "_pydevd_bundle"}  # modules on the stack of who waits in one


class Watchdog(Callback):
    """Ends the process when it gave no sign of life for too long.

    Every hook of Lightning and every call of the policy is a sign of life, so a long rollout or
    validation is none of its business. One thread looks every few seconds; it also writes what this
    process is doing to ``<folder>/rank-N.json``. When the time is up it prints this process's state
    and that of the others, dumps the stacks of all threads to stderr, and exits with ``EXIT_CODE``
    (75) on the spot, so that the launcher ends the others. Time in which the process is stopped
    (Ctrl-Z, a suspended machine) or any process of the run is in a debugger does not count. The files
    are removed at a clean end; after an error they tell how far each process came.

    What it can't see is an extension that hangs without giving up the interpreter's lock; locks,
    sockets and collectives give it up.

    Args:
        timeout: Seconds; null switches the watch off.
        folder: Of the heartbeat files; on several machines, one that all of them see.
    """

    def __init__(self, timeout: float | None = 1800.0, folder: str | Path = "heartbeat") -> None:
        if timeout is not None and timeout <= 0:
            raise ConfigError(f"callbacks.watchdog.timeout={timeout}: expected seconds above 0, or null")
        self.timeout, self.folder = timeout, Path(folder)
        self._watch: Watch | None = None
        self._hook: Any = None

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if self.timeout is None:
            return
        self._end()
        file = HeartbeatFile(self.folder, trainer.global_rank)
        self._watch = Watch(file, self.timeout, trainer.world_size)
        self._watch.start()
        if (policy := getattr(pl_module, "policy", None)) is not None:
            self._hook = policy.register_forward_pre_hook(lambda *_: self._beat_of_policy(trainer))

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        if watch := self._end():
            watch.file.remove()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if watch := self._end():
            watch.file.write(ended(watch.beat_now(), exception))

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._beat(_between(trainer), update=trainer.global_step)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._beat("update", getattr(batch, "window", None), trainer.global_step)

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: Any, optimizer: Any) -> None:
        self._beat("update")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._beat(_between(trainer), update=trainer.global_step)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._beat("save")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._beat("validation")

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._beat("validation")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._beat(_between(trainer))

    def _beat(self, phase: str | None = None, window: int | None = None, update: int | None = None) -> None:
        if self._watch is not None:
            self._watch.beat(phase, window, update)

    def _beat_of_policy(self, trainer: pl.Trainer) -> None:
        """Sampling has no hook of its own, and a checkpoint may have been saved since the last one."""
        saved = self._watch is not None and self._watch.phase == "save"
        self._beat(_between(trainer) if saved else None)

    def _end(self) -> Watch | None:
        """Stop watching; returns the watch that was on."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.stop()
        return watch


class Watch(threading.Thread):
    """The thread that looks. ``beat`` is called by the others, and costs them an assignment."""

    def __init__(self, file: HeartbeatFile, timeout: float, world: int) -> None:
        super().__init__(name="watchdog", daemon=True)
        self.file, self.timeout, self.world = file, timeout, world
        self.interval = min(5.0, timeout / 4)
        self.phase, self._window, self._update = "setup", None, None
        self._at = time.time()
        self._beats = 0
        self._seen, self._silent, self._looked = -1, 0.0, time.monotonic()
        self._done = threading.Event()
        self._watched = threading.main_thread().ident  # Lightning's loops run there

    def beat(self, phase: str | None = None, window: int | None = None, update: int | None = None) -> None:
        """A sign of life; what is None stays as it was."""
        self.phase = self.phase if phase is None else phase
        self._window = self._window if window is None else window
        self._update = self._update if update is None else update
        self._at = time.time()
        self._beats += 1

    def beat_now(self) -> Heartbeat:
        return Heartbeat(self.file.rank, self.phase, self._window, self._update, self._at)

    def stop(self) -> None:
        self._done.set()
        self.join(timeout=5)

    def run(self) -> None:
        while not self._done.wait(self.interval):
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """See whether there was a sign of life since the last look.

        Args:
            now: Seconds of a clock that never goes back.
        """
        # Only what this thread lived through: a process that was stopped was not hanging.
        self._silent += min(now - self._looked, 2 * self.interval)
        self._looked = now
        if self._beats != self._seen:
            self._seen, self._silent = self._beats, 0.0
            self.file.write(self.beat_now())
        elif self._debugged():
            self._silent = 0.0
        elif self._silent >= self.timeout and not self._others_debugged():
            self.fire(self._silent)

    def fire(self, silent: float) -> None:
        """Say what is known, and end the process."""
        beats = [self.beat_now(), *self.file.others(self.world)]
        now, oldest = time.time(), min(beats, key=lambda beat: beat.at)
        lines = [
            f"error: callbacks.watchdog: no sign of life from rank {self.file.rank} of {self.world} for "
            f"{silent:.0f} s (timeout: {self.timeout:g}); silent for longest: rank {oldest.rank}",
            *(f"  {beat.describe(now)}" for beat in beats),
            f"the stacks of rank {self.file.rank}:\n",
        ]
        stderr = sys.__stderr__.fileno()  # not print: the thread that hangs may hold the stream's lock
        os.write(stderr, "\n".join(lines).encode())
        faulthandler.dump_traceback(file=stderr, all_threads=True)
        os._exit(EXIT_CODE)  # an ordinary exit would wait for what hangs

    def _debugged(self) -> bool:
        """Whether the main thread is in a debugger; says so to the other processes."""
        frame = sys._current_frames().get(self._watched)
        while frame is not None:
            if frame.f_globals.get("__name__", "").partition(".")[0] in _DEBUGGERS:
                self.file.write(Heartbeat(self.file.rank, "debugger", self._window, self._update, self._at))
                return True
            frame = frame.f_back
        return False

    def _others_debugged(self) -> bool:
        return any(beat.phase == "debugger" for beat in self.file.others(self.world))


def _between(trainer: pl.Trainer) -> str:
    """What comes between two batches: the next one's completions, or its rows."""
    return "rollout" if hasattr(trainer.datamodule, "engine") else "loading"

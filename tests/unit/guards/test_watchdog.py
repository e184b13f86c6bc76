import bdb
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from fakes import rollout_fit, tiny_policy, trainer
from lightning.pytorch.callbacks import Callback

from igpo_lightning.checkpoints import Checkpoints
from igpo_lightning.checks import ConfigError
from igpo_lightning.guards import Watchdog
from igpo_lightning.guards.heartbeat import Heartbeat, HeartbeatFile
from igpo_lightning.guards.watchdog import EXIT_CODE, Watch

TESTS = Path(__file__).resolve().parents[2]


@contextmanager
def watching(folder, timeout=0.2, world=1):
    """A watch that notes that it fired, instead of ending the tests."""
    watch = Watch(HeartbeatFile(folder, 0), timeout, world)
    watch.fired = threading.Event()
    watch.fire = lambda silent: watch.fired.set()
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def wait(seconds, until=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        time.sleep(0.01)
    return until()


def test_silence_fires_and_signs_of_life_do_not(tmp_path):
    with watching(tmp_path) as watch:
        assert not wait(0.6, lambda: watch.beat("update") or watch.fired.is_set())
        assert watch.fired.wait(3)


def test_time_in_a_debugger_does_not_count(tmp_path):
    def paused():  # what the stack looks like at a breakpoint
        return wait(0.8, watch.fired.is_set)

    exec("def interaction(wait):\n    return wait()", frame := {"__name__": bdb.__name__})
    with watching(tmp_path) as watch:
        assert not frame["interaction"](paused)
        assert json.loads((tmp_path / "rank-0.json").read_text())["phase"] == "debugger"
        assert watch.fired.wait(3)


def test_a_debugger_of_another_process_is_waited_for(tmp_path):
    HeartbeatFile(tmp_path, 1).write(Heartbeat(1, "debugger", 0, 0, time.time()))
    with watching(tmp_path, world=2) as watch:
        assert not watch.fired.wait(0.8)
    with watching(tmp_path, world=1) as watch:  # left behind by a larger run
        assert watch.fired.wait(3)


def test_what_a_process_was_doing():
    assert Heartbeat(1, "rollout", 2, 12, at=100.0).describe(140.4) == (
        "rank 1: rollout (window 3, 12 updates done), 40 s ago"
    )
    assert Heartbeat(0, "setup", None, None, at=100.0).describe(101.0) == "rank 0: setup, 1 s ago"


def test_files(tmp_path):
    mine, other = (HeartbeatFile(tmp_path / "heartbeat", rank) for rank in (0, 1))
    beat = Heartbeat(1, "update", 0, 3, 5.0)
    other.write(beat)
    assert mine.others(world=2) == [beat] and other.others(world=2) == []
    assert [p.name for p in mine.folder.iterdir()] == ["rank-1.json"]
    other.path.write_text('{"rank"')
    assert mine.others(world=3) == []  # cut off, and not there
    mine.write(beat)
    mine.remove()
    other.remove()
    assert not mine.folder.exists()


def test_a_disk_that_refuses_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    HeartbeatFile(tmp_path / "file" / "heartbeat", 0).write(Heartbeat(0, "update", 0, 0, 0.0))


class Notes(Callback):
    """Which phases the watch shows, and the heartbeat file while the run is on."""

    def __init__(self, watchdog):
        self.watchdog, self.phases = watchdog, []

    def note(self, *args, **kwargs):
        self.phases.append(self.watchdog._watch.phase)

    setup = on_train_batch_start = on_train_batch_end = on_validation_batch_end = note
    on_save_checkpoint = note


def test_phases_of_a_run(tmp_path):
    watchdog = Watchdog(folder=tmp_path / "heartbeat")
    notes = Notes(watchdog)
    module, data = rollout_fit(tiny_policy(), windows=1)
    keep = Checkpoints(tmp_path, every=1)
    run = trainer(tmp_path, callbacks=[watchdog, notes, keep], enable_checkpointing=True)
    sampled, engine_run = [], data.engine.run

    def sample(*args):
        result = engine_run(*args)
        sampled.append(watchdog._watch.phase)
        return result

    data.engine.run = sample
    run.fit(module, datamodule=data)
    assert notes.phases[:6] == ["setup", "update", "rollout", "save", "update", "rollout"]
    assert "validation" in notes.phases and sampled == ["rollout"]
    assert not (tmp_path / "heartbeat").exists() and watchdog._watch is None
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


def test_an_error_leaves_a_note_for_the_other_processes(tmp_path):
    class Fails(Callback):
        def on_train_batch_start(self, *args):
            raise MemoryError

    module, data = rollout_fit(tiny_policy(), windows=1)
    watchdog = Watchdog(folder=tmp_path / "heartbeat")
    with pytest.raises(MemoryError):
        trainer(tmp_path, callbacks=[watchdog, Fails()]).fit(module, datamodule=data)
    left = json.loads((tmp_path / "heartbeat" / "rank-0.json").read_text())
    assert left["phase"] == "ended by MemoryError in update" and left["window"] == 0
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


def test_no_watch(tmp_path):
    module, data = rollout_fit(tiny_policy(), windows=1)
    watchdog = Watchdog(timeout=None, folder=tmp_path / "heartbeat")
    trainer(tmp_path, callbacks=[watchdog]).fit(module, datamodule=data)
    assert not (tmp_path / "heartbeat").exists()
    with pytest.raises(
        ConfigError, match=r"callbacks\.watchdog\.timeout=0: expected seconds above 0, or null"
    ):
        Watchdog(timeout=0)


HANGS = """
import sys, warnings
warnings.simplefilter("ignore")
from fakes import engine, rollout_fit, tiny_policy, trainer
from sabotage import HangingReward
from igpo_lightning.guards import Watchdog
folder = sys.argv[1]
sampling = engine(reward=HangingReward(at=1), prompts_per_forward=4)
module, data = rollout_fit(tiny_policy(), sampling=sampling, validate_every=2)
print("started", flush=True)
trainer(folder, callbacks=[Watchdog(timeout=3, folder=folder + "/heartbeat")]).fit(module, datamodule=data)
"""


def test_a_hang_becomes_an_error_that_says_where(tmp_path):
    """A process that waits for ever for a lock, in the rollout of the second window."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    pipe = subprocess.PIPE
    program = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True)
    try:
        assert program.stdout.readline() == "started\n"
        beat = tmp_path / "heartbeat" / "rank-0.json"
        assert wait(60, lambda: beat.exists() and '"window": 0' in beat.read_text())
        os.kill(program.pid, signal.SIGSTOP)  # a process that is stopped does not hang
        time.sleep(4)
        os.kill(program.pid, signal.SIGCONT)
        assert program.poll() is None
        _, err = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == EXIT_CODE == 75
    assert "error: callbacks.watchdog: no sign of life from rank 0 of 1 for 3 s" in err
    assert re.search(r"rank 0: rollout \(window 1, 2 updates done\), \d+ s ago", err)
    assert 'sabotage.py", line' in err and "in __call__" in err  # the stack of who hangs
    assert json.loads(beat.read_text())["phase"] == "rollout"

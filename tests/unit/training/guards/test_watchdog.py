import bdb
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fakes import BLOCK, WIDTH, rollout_fit, tiny_policy, trainer
from lightning.pytorch.callbacks import Callback

from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.training.checkpoints import Checkpoints
from igpo_lightning.training.guards import Watchdog
from igpo_lightning.training.guards.watchdog import EXIT_CODE, Heartbeat

TESTS = Path(__file__).resolve().parents[2]


class Looks(Watchdog):
    """A watchdog that is told the time, a look every ``interval`` seconds, and notes that it fired."""

    def __init__(self, folder, timeout=8.0, rank=0, world=1):
        super().__init__(timeout, folder)
        self.rank, self.world = rank, world
        self.fired, self.now = [], self._looked

    def fire(self, silent):
        self.fired.append(silent)

    def live(self, seconds, beat=False):
        """Look for so long; returns whether it fired."""
        for _ in range(round(seconds / self.interval)):
            if beat:
                self.last = Heartbeat(self.rank, "update")
            self.now += self.interval
            self.look(self.now)
        return bool(self.fired)


def write(folder, beat):
    Looks(folder, rank=beat.rank)._write(beat)


def test_silence_fires_and_signs_of_life_do_not(tmp_path):
    watch = Looks(tmp_path)
    assert not watch.live(80, beat=True)
    assert not watch.live(6)
    assert watch.live(2) and watch.fired == [8.0]


def test_a_process_that_was_stopped_was_not_hanging(tmp_path):
    watch = Looks(tmp_path)
    watch.live(4, beat=True)
    watch.now += 3600  # of it two looks count
    assert not watch.live(4) and watch.live(4)


def test_time_in_a_debugger_does_not_count(tmp_path):
    watch = Looks(tmp_path)
    exec("def interaction(live):\n    return live(80)", frame := {"__name__": bdb.__name__})
    assert not frame["interaction"](watch.live)  # what the stack looks like at a breakpoint
    assert json.loads((tmp_path / "rank-0.json").read_text())["phase"] == "debugger"
    assert watch.live(8)


def test_a_debugger_of_another_process_is_waited_for(tmp_path):
    write(tmp_path, Heartbeat(1, "debugger", 0, 0, at=0.0))
    assert not Looks(tmp_path, world=2).live(80)
    assert Looks(tmp_path, world=1).live(10)  # left behind by a larger run


def test_what_a_process_was_doing():
    assert Heartbeat(1, "rollout", 2, 12, at=100.0).describe(140.4) == (
        "rank 1: rollout (rollout 3, 12 updates done), 40 s ago"
    )
    assert Heartbeat(0, "setup", None, None, at=100.0).describe(101.0) == "rank 0: setup, 1 s ago"


def test_files(tmp_path):
    folder, beat = tmp_path / "heartbeat", Heartbeat(1, "update", 0, 3, 5.0)
    write(folder, beat)
    assert Looks(folder, rank=0, world=2).others() == [beat] and Looks(folder, rank=1, world=2).others() == []
    assert [p.name for p in folder.iterdir()] == ["rank-1.json"]
    (folder / "rank-1.json").write_text('{"rank"')
    assert Looks(folder, rank=0, world=3).others() == []  # cut off, and not there


def test_files_of_processes_that_an_earlier_start_had_are_removed(tmp_path):
    for rank in (0, 1, 2, 11):
        write(tmp_path, Heartbeat(rank, "update", 0, 3, 5.0))
    Looks(tmp_path, world=2)._forget_others()
    assert {file.name for file in tmp_path.iterdir()} == {"rank-0.json", "rank-1.json"}


def test_a_disk_that_refuses_is_no_error(tmp_path):
    (tmp_path / "file").touch()
    write(tmp_path / "file" / "heartbeat", Heartbeat(0, "update"))


class Notes(Callback):
    """Which phases the watch shows, and the heartbeat file while the run is on."""

    def __init__(self, watchdog):
        self.watchdog, self.phases = watchdog, []

    def note(self, *args, **kwargs):
        self.phases.append(self.watchdog.last.phase)

    setup = on_train_batch_start = on_train_batch_end = on_validation_batch_end = note
    on_save_checkpoint = note


def test_phases_of_a_run(tmp_path):
    watchdog = Watchdog(folder=tmp_path / "heartbeat")
    notes = Notes(watchdog)
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    keep = Checkpoints(tmp_path, every=1)
    run = trainer(tmp_path, callbacks=[watchdog, notes, keep], enable_checkpointing=True)
    sampled, engine_run = [], data.engine.run

    def sample(*args):
        result = engine_run(*args)
        sampled.append(watchdog.last.phase)
        return result

    data.engine.run = sample
    run.fit(module, datamodule=data)
    assert notes.phases[:6] == ["setup", "update", "rollout", "save", "update", "rollout"]
    assert "validation" in notes.phases and sampled == ["rollout"]
    assert not (tmp_path / "heartbeat").exists()
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
def test_every_call_of_sampling_is_a_sign_of_life(tmp_path, cache):
    """A cache calls the network past the policy: a long rollout was taken for a hang."""
    watchdog, beats = Watchdog(folder=tmp_path / "heartbeat"), []
    module, data = rollout_fit(
        tiny_policy(), rollouts=1, sampler=BlockwiseSampler(WIDTH, BLOCK, 16, 1.0, cache=cache)
    )
    session, sessions = data.algorithm.sampler.sessions, []
    engine_run, opened = data.engine.run, session.open

    def remembered(*args):
        sessions.append(opened(*args))
        return sessions[-1]

    def sample(*args):
        beat = watchdog.beat
        watchdog.beat = lambda *args: beats.append(beat(*args))
        result = engine_run(*args)
        watchdog.beat = beat
        return result

    session.open, data.engine.run = remembered, sample
    trainer(tmp_path, callbacks=[watchdog]).fit(module, datamodule=data)
    assert sessions and len(beats) >= sum(session.forwards for session in sessions[:1]) > 0


def test_an_error_leaves_a_note_for_the_other_processes(tmp_path):
    class Fails(Callback):
        def on_train_batch_start(self, *args):
            raise MemoryError

    module, data = rollout_fit(tiny_policy(), rollouts=1)
    watchdog = Watchdog(folder=tmp_path / "heartbeat")
    with pytest.raises(MemoryError):
        trainer(tmp_path, callbacks=[watchdog, Fails()]).fit(module, datamodule=data)
    left = json.loads((tmp_path / "heartbeat" / "rank-0.json").read_text())
    assert left["phase"] == "ended by MemoryError in update" and left["rollout"] == 0
    assert not any(thread.name == "watchdog" for thread in threading.enumerate())


def test_no_watch(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
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
from fakes import rollout_fit, tiny_policy, trainer
from sabotage import HangingReward
from igpo_lightning.training.guards import Watchdog
folder = sys.argv[1]
module, data = rollout_fit(tiny_policy(), reward=HangingReward(at=1), validate_every=2)
print("started", flush=True)
trainer(folder, callbacks=[Watchdog(timeout=3, folder=folder + "/heartbeat")]).fit(module, datamodule=data)
"""


def test_a_hang_becomes_an_error_that_says_where(tmp_path):
    """A process that waits for ever for a lock, in the rollout of the second rollout."""
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
        _, err = program.communicate(timeout=250)
    finally:
        program.kill()
    assert program.returncode == EXIT_CODE == 75
    assert "error: callbacks.watchdog: no sign of life from rank 0 of 1 for " in err
    assert re.search(r"rank 0: rollout \(rollout 1, 2 updates done\), \d+ s ago", err)
    assert 'sabotage.py", line' in err and "in __call__" in err  # the stack of who hangs
    assert json.loads(beat.read_text())["phase"] == "rollout"

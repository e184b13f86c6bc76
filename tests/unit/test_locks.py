"""Two runs never share a folder."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from igpo_lightning import locks
from igpo_lightning.checks import ConfigError
from igpo_lightning.locks import FILE, locked

HOLD = "import sys; from pathlib import Path; from igpo_lightning.locks import locked\n" \
       "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"  # fmt: skip


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def take(folder):
    with locked(folder):
        pass


def write(folder, **changes):
    """A lock that somebody else has left."""
    content = {
        "pid": 2**22 + 1, "host": socket.gethostname(), "started": "2026-01-02T03:04:05+00:00", "job": None
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(json.dumps({**content, **changes}))


def test_the_folder_is_given_back(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "a" / "run"):
            content = json.loads((tmp_path / "a" / "run" / FILE).read_text())
            assert content["pid"] == os.getpid() and content["host"] == socket.gethostname()
        assert os.listdir(tmp_path / "a" / "run") == []
    with pytest.raises(RuntimeError), locked(tmp_path):
        raise RuntimeError
    assert not (tmp_path / FILE).exists()


def test_a_process_at_work_is_named(tmp_path, holder):
    with pytest.raises(ConfigError, match=rf"process {holder.pid} on \S+ has been at work in it since 20"):
        take(tmp_path / "run")
    assert (tmp_path / "run" / FILE).exists()  # still theirs
    holder.stdin.close()
    holder.wait()
    take(tmp_path / "run")


def test_what_a_killed_process_leaves_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / "run" / FILE).exists()
    with locked(tmp_path / "run"):
        assert json.loads((tmp_path / "run" / FILE).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '"text"'])
def test_a_torn_lock_is_nobodys(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    take(tmp_path)


def test_without_locks_of_the_system_the_process_counts(tmp_path, holder, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with pytest.raises(ConfigError, match=f"process {holder.pid} "):
        take(tmp_path / "run")
    holder.kill()
    holder.wait()
    take(tmp_path / "run")
    write(tmp_path, pid=os.getppid(), born="1")  # another process has that number now
    take(tmp_path)


def test_another_host_may_still_be_at_work(tmp_path, monkeypatch):
    write(tmp_path, host="elsewhere", job="77")
    with pytest.raises(ConfigError, match=rf"on elsewhere .*; if it has ended there, delete \S+{FILE}"):
        take(tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "77")  # the job was queued again
    take(tmp_path)


@pytest.fixture
def waits(tmp_path, monkeypatch):
    """``waits(done)`` awaits the folder; gives whether something was left to do, and who was waited for."""
    monkeypatch.setattr(locks, "POLL", 0.01)
    monkeypatch.setattr(locks, "SETTLE", 0)

    def wait(done=lambda: False):
        said = []
        with locks.awaited(tmp_path / "run", done, said.append) as left:
            held = json.loads((tmp_path / "run" / FILE).read_text()) if left else None
        assert held is None or held["pid"] == os.getpid()
        return left, said

    return wait


def test_what_nobody_holds_is_not_waited_for(tmp_path, waits):
    assert waits() == (True, [])
    assert waits(lambda: True) == (False, [])
    assert not (tmp_path / "run" / FILE).exists()


def test_a_process_at_work_is_waited_for(waits, holder):
    looks = iter([False, False, False, True])
    assert waits(lambda: next(looks))[0] is False  # it has finished meanwhile
    threading.Timer(0.2, holder.kill).start()
    left, (said,) = waits()
    assert left and said.startswith(f"process {holder.pid} on ")


def test_another_hosts_process_that_gives_no_sign_has_ended(tmp_path, waits, monkeypatch):
    write(tmp_path / "run", host="elsewhere")
    monkeypatch.setattr(locks, "SILENCE", 0.3)
    beats = []

    def beat():
        if len(beats) < 60:  # longer than the silence
            beats.append(time.monotonic())
            os.utime(tmp_path / "run" / FILE, ns=(0, len(beats)))
        return False

    assert waits(beat)[0]
    assert len(beats) == 60 and time.monotonic() - beats[-1] >= 0.3


def test_of_two_that_found_it_free_the_last_to_write_has_it(tmp_path, waits, monkeypatch):
    """On two hosts that don't see each other's locks."""
    looks = []

    def settle(seconds):
        looks.append(seconds)
        if len(looks) == 1:
            write(tmp_path / "run", host="elsewhere")
        elif len(looks) == 2:
            (tmp_path / "run" / FILE).unlink()  # the other one has finished

    monkeypatch.setattr(locks.time, "sleep", settle)
    left, (said,) = waits()
    assert left and "on elsewhere" in said


def test_whoever_is_waited_for_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    monkeypatch.setattr(locks, "SETTLE", 0)
    with locks.awaited(tmp_path, lambda: False, print):
        os.utime(tmp_path / FILE, ns=(0, 0))
        deadline = time.monotonic() + 20
        while (tmp_path / FILE).stat().st_mtime_ns == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / FILE).stat().st_mtime_ns > 0

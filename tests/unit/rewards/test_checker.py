import os
import signal
import threading
from pathlib import Path

import pytest

from igpo_lightning.rewards import checker as module
from igpo_lightning.rewards.checker import Checker

TOWER = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def checker():
    checker = Checker(timeout=2.0, memory_gb=2.0)
    yield checker
    checker.close()


def test_a_tower_is_wrong_in_bounded_time_and_the_next_call_works(checker):
    assert checker.equal("x+x", "2x")  # the worker is up
    process = checker._workers._idle[0]._process
    assert not checker.equal(TOWER, "387420489x")
    assert process.returncode == -signal.SIGPROF  # by its processor time, however busy the machine is
    assert checker.equal("y+y", "2y")


def test_a_dead_worker_is_replaced(checker):
    assert checker.equal("z+z", "2z")
    process = checker._workers._idle[0]._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checker.equal("w+w", "2w")


def test_a_worker_that_hangs_is_killed_and_replaced(monkeypatch):
    checker = Checker(timeout=2.0, memory_gb=2.0)
    assert checker.equal("k+k", "2k")
    process = checker._workers._idle[0]._process
    os.kill(process.pid, signal.SIGSTOP)  # no alarm of its own can help it now
    with monkeypatch.context() as patch:  # ten times two seconds is the time that a slow machine has
        patch.setattr("igpo_lightning.rewards.checker._WALL_FACTOR", 1)
        assert not checker.equal("m+m", "2m")
    assert process.returncode is not None
    assert checker.equal("n+n", "2n")


def test_the_worker_does_not_import_torch(checker):
    assert checker.equal("p+p", "2p")
    maps = Path(f"/proc/{checker._workers._idle[0]._process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    assert "libtorch" not in maps.read_text()


def test_threads_share_one_worker_and_the_alarm_is_left_alone(checker):
    before = signal.getsignal(signal.SIGALRM)
    verdicts = {}

    def ask(i):
        verdicts[i] = (checker.equal(f"{i}x+x", f"{i + 1}x"), checker.equal(f"{i}x+x", f"{i}x"))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {i: (True, False) for i in range(2, 8)}
    assert signal.getsignal(signal.SIGALRM) is before


def test_close_and_the_garbage_collector_end_the_process():
    checker = Checker(2.0, 2.0)
    assert checker.equal("q+q", "2q")
    process = checker._workers._idle[0]._process
    checker.close()
    assert process.returncode is not None
    assert checker.equal("r+r", "2r")
    process = checker._workers._idle[0]._process
    checker._workers._idle.clear()
    assert process.returncode is not None


class Together:
    """Stands in for a process; answers when so many are asked at the same time, or only one at a time."""

    asking = most = 0
    lock = threading.Lock()
    barrier = None

    def __init__(self, *args, **kwargs):
        pass

    def usable(self):
        return True

    def stop(self):
        pass

    def ask(self, line, timeout):
        with self.lock:
            Together.asking += 1
            Together.most = max(self.most, self.asking)
        if self.barrier is not None:
            self.barrier.wait(60)
        with self.lock:
            Together.asking -= 1
        return None if "slow" in line else "1"


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_pairs_at_once_as_there_may_be_processes(monkeypatch, workers):
    monkeypatch.setattr(module, "_Worker", Together)
    monkeypatch.setattr(Together, "most", 0)
    monkeypatch.setattr(Together, "barrier", threading.Barrier(3) if workers == 3 else None)
    checker = Checker(timeout=2.0, memory_gb=2.0, workers=workers)
    threads = [threading.Thread(target=checker.equal, args=(f"{i}", "1")) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Together.most == workers >= len(checker._workers._idle) and checker.timeouts == 0
    checker.close()
    assert checker._workers._idle == []


def test_what_is_given_up_is_counted(monkeypatch):
    monkeypatch.setattr(module, "_Worker", Together)
    checker = Checker(timeout=2.0, memory_gb=2.0)
    assert checker.equal("1", "1") and not checker.equal("slow", "1") and not checker.equal("slow", "2")
    assert checker.timeouts == 2

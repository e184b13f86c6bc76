import os
import signal
import threading
from pathlib import Path

import pytest

from igpo_lightning.rewards.checker import Checker

TOWER = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def checker():
    checker = Checker(timeout=2.0, memory_gb=2.0)
    yield checker
    checker.close()


def test_a_tower_is_wrong_in_bounded_time_and_the_next_call_works(checker):
    assert checker.equal("x+x", "2x")  # the worker is up
    process = checker._idle[0]._process
    assert not checker.equal(TOWER, "387420489x")
    assert process.returncode == -signal.SIGPROF  # by its processor time, however busy the machine is
    assert checker.equal("y+y", "2y")


def test_a_dead_worker_is_replaced(checker):
    assert checker.equal("z+z", "2z")
    process = checker._idle[0]._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checker.equal("w+w", "2w")


def test_a_worker_that_hangs_is_killed_and_replaced():
    checker = Checker(timeout=2.0, memory_gb=2.0)
    assert checker.equal("k+k", "2k")
    process = checker._idle[0]._process
    os.kill(process.pid, signal.SIGSTOP)  # no alarm of its own can help it now
    assert not checker.equal("m+m", "2m")
    assert process.returncode is not None
    assert checker.equal("n+n", "2n")


def test_the_worker_does_not_import_torch(checker):
    assert checker.equal("p+p", "2p")
    maps = Path(f"/proc/{checker._idle[0]._process.pid}/maps")
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
    process = checker._idle[0]._process
    checker.close()
    assert process.returncode is not None
    assert checker.equal("r+r", "2r")
    process = checker._idle[0]._process
    checker._idle.clear()
    assert process.returncode is not None

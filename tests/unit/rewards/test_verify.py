import os
import pickle
import signal
import threading
from fractions import Fraction
from pathlib import Path

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import Verifier
from igpo_lightning.rewards.verify import normalise, numeral

TOWER = "9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def verifier():
    verifier = Verifier()
    yield verifier
    verifier.close()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000", Fraction(1000)),
        ("42.0", Fraction(42)),
        ("42.", Fraction(42)),
        (".5", Fraction(1, 2)),
        ("-2/4", Fraction(-1, 2)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        ("3e8", Fraction(300_000_000)),
        ("2.5e-1", Fraction(1, 4)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"-1.2\overline{045}", -Fraction(12033, 9990)),
        (r".\overline{9}", Fraction(1)),
        ("1,2", None),
        ("1, 234", None),
        ("1 2", None),
        ("1/0", None),
        ("1e9999", None),
        ("x", None),
        ("٣", None),  # an Arabic digit
    ],
)
def test_numeral(text, value):
    assert numeral(text) == value


def test_normalise():
    assert normalise(r"\$ 1{,}000\,000 \text{ cm}.") == r"1,000000 \text{ cm}"
    assert normalise(r"\left( 3, \dfrac{\pi}{2} \right)") == r"( 3, \frac{\pi}{2} )"
    assert normalise(r"a\ b & c \\ 3 \\, 4") == r"a b & c \\ 3 \\, 4"


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        ("1,000", "1000"), ("42.0", "42"), ("2/4", "1/2"), (r"\text{B}", "B"), ("(B)", r"\text{B}"),
        (r"25\%", "25"), ("25%", r"25\%"), ("$18.90", "18.9"), (r"\$18.90", "18.90"), ("-5", "\u22125"),
        (r"\frac12", r"\frac{1}{2}"), (r"\dfrac{1}{2}", "0.5"), ("10^{2}", "100"), ("1+x", "x+1"),
        (r"10,\!080", "10080"), ("1{,}000", "1000"), (r"76^\circ", "76"), ("x=5", "5"),
        ("even", r"\text{Even}"), (r"2\sqrt{3}", r"\sqrt{12}"),
        (r"\left(3, \frac{\pi}{2}\right)", r"(3,\pi/2)"), (r"10\text{ cm}", "10"), ("3e8", r"3 \times 10^8"),
        ("1e3", "1000"), ("3,5,7", "3, 5, 7"), ("6-5i", "6 - 5i"),
    ],
)  # fmt: skip
def test_equal(verifier, candidate, gold):
    assert verifier.equal(candidate, gold)


@pytest.mark.parametrize(
    ("candidate", "gold"),
    [
        ("12", "123"), ("1/2", "12"), (r"\frac{1}{2}", "12"), ("B", "C"), ("x+1", "x-1"), ("(1,2)", "(2,1)"),
        ("5", "-5"), ("2,3", "23"), ("1, 234", "1234"), ("1 2", "12"), ("0.25", r"25\%"), ("0.333", "1/3"),
        ("[1,2]", "(1,2)"), ("abc", "cab"), ("even", "odd"), ("", "5"), ("5", ""), ("$", "5"), ("1/0", "0"),
        (r"\frac{1}{0}", r"\frac{2}{0}"), ("9" * 300, "9" * 299), ("}{", "5"), ("\x00", "5"), ("5\n6", "5"),
        ("72 clips", "72"), ("\ud800", "5"),
    ],
)  # fmt: skip
def test_not_equal(verifier, candidate, gold):
    assert not verifier.equal(candidate, gold)


def test_numerals_need_no_worker():
    verifier = Verifier()
    for i in range(512):
        assert verifier.equal(f"{i}.0", str(i)) and not verifier.equal(str(i), str(i + 1))
    assert verifier._worker is None


def test_a_tower_is_wrong_in_bounded_time_and_the_next_call_works(verifier):
    assert verifier.equal("x+x", "2x")  # the worker is up
    process = verifier._worker._process
    assert not verifier.equal(TOWER, "387420489x")
    assert process.returncode == -signal.SIGPROF  # by its processor time, however busy the machine is
    assert verifier.equal("y+y", "2y")


def test_a_dead_worker_is_replaced(verifier):
    assert verifier.equal("z+z", "2z")
    process = verifier._worker._process
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert verifier.equal("w+w", "2w")


def test_a_worker_that_hangs_is_killed_and_replaced():
    verifier = Verifier(timeout=0.2)
    assert verifier.equal("k+k", "2k")
    process = verifier._worker._process
    os.kill(process.pid, signal.SIGSTOP)  # no alarm of its own can help it now
    assert not verifier.equal("m+m", "2m")
    assert process.returncode is not None
    assert verifier.equal("n+n", "2n")


def test_the_worker_does_not_import_torch(verifier):
    assert verifier.equal("p+p", "2p")
    maps = Path(f"/proc/{verifier._worker._process.pid}/maps")
    if not maps.exists():
        pytest.skip("needs /proc")
    assert "libtorch" not in maps.read_text()


def test_threads_share_one_worker_and_the_alarm_is_left_alone(verifier):
    before = signal.getsignal(signal.SIGALRM)
    verdicts = {}

    def ask(i):
        verdicts[i] = (verifier.equal(f"{i}x+x", f"{i + 1}x"), verifier.equal(f"{i}x+x", f"{i}x"))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {i: (True, False) for i in range(2, 8)}
    assert signal.getsignal(signal.SIGALRM) is before


def test_verdicts_are_remembered():
    verifier = Verifier()
    assert verifier.equal("a+a", "2a")
    verifier.close()
    assert verifier.equal("a+a", "2a")
    assert verifier._worker is None


def test_close_and_the_garbage_collector_end_the_process():
    verifier = Verifier()
    assert verifier.equal("q+q", "2q")
    process = verifier._worker._process
    verifier.close()
    assert process.returncode is not None
    assert verifier.equal("r+r", "2r")
    process = verifier._worker._process
    verifier._worker = None
    assert process.returncode is not None


def test_a_verifier_is_pickled_by_its_settings():
    copy = pickle.loads(pickle.dumps(Verifier(timeout=1.5, memory_gb=1.0, cache_size=7)))
    assert (copy.timeout, copy.memory_gb, copy.cache_size) == (1.5, 1.0, 7)


def test_bad_limits_are_refused():
    with pytest.raises(ConfigError, match="timeout"):
        Verifier(timeout=0)

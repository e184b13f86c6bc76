import pickle
import time
from fractions import Fraction

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards import Verifier
from igpo_lightning.rewards.numbers import numeral

SUM = r"\sum_{k=1}^{10} k"


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
         ("\ud800", "5"),
    ],
)  # fmt: skip
def test_not_equal(verifier, candidate, gold):
    assert not verifier.equal(candidate, gold)


def test_numerals_need_no_worker_and_take_microseconds():
    verifier = Verifier()
    start = time.perf_counter()
    for i in range(512):
        assert verifier.equal(f"{i}.0", str(i)) and not verifier.equal(str(i), str(i + 1))
    assert time.perf_counter() - start < 0.5
    assert verifier._checker._worker is None


def test_verdicts_are_remembered():
    verifier = Verifier()
    assert verifier.equal(SUM, "55")
    verifier.close()
    assert verifier.equal(SUM, "55")
    assert verifier._checker._worker is None


def test_a_verifier_is_pickled_by_its_settings():
    copy = pickle.loads(pickle.dumps(Verifier(timeout=1.5, memory_gb=1.0, cache_size=7)))
    assert (copy.timeout, copy.memory_gb, copy.cache_size) == (1.5, 1.0, 7)


def test_bad_limits_are_refused():
    with pytest.raises(ConfigError, match="timeout"):
        Verifier(timeout=0)

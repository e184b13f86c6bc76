import pickle
from fractions import Fraction

import pytest
from cpu_time import cpu_seconds_below

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


def test_numerals_need_no_worker():
    verifier = Verifier()
    for i in range(512):
        assert verifier.equal(f"{i}.0", str(i)) and not verifier.equal(str(i), str(i + 1))
    assert verifier._checker._workers._idle == []


def test_verdicts_are_remembered():
    verifier = Verifier()
    assert verifier.equal(SUM, "55")
    verifier.close()
    assert verifier.equal(SUM, "55")
    assert verifier._checker._workers._idle == []


def test_a_verifier_is_pickled_by_its_settings():
    copy = pickle.loads(pickle.dumps(Verifier(timeout=1.5, memory_gb=1.0, cache_size=7)))
    assert (copy.timeout, copy.memory_gb, copy.cache_size) == (1.5, 1.0, 7)


def test_bad_limits_are_refused():
    with pytest.raises(ConfigError, match="timeout"):
        Verifier(timeout=0)


HOSTILE = [
    "9", "1,", "1 ", "{", "(", "((1,", "$", "\\frac{", "^{", "_", "'", "\\text{a} ", "1.000.", "=", "or ",
    "½", "²", "\\begin{pmatrix}", "~", "1e9", "five ", "1 ft ", "A) ", "|", "\\pm1", "x", "-", "\\sqrt",
    "**a *b", "_a ", "`", "<b>", "\\begin{aligned}x", "5 ≈ ", "1 m = ", "$4 + ", "3!", "(A) ",
    "5 \\text{ pins} \\times ",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_answers_are_judged_in_bounded_time(verifier, piece):
    long = (piece * 100_000)[:100_000]
    with cpu_seconds_below(20):  # milliseconds are usual
        for text in (long, long[:5000], long[:1900]):
            assert verifier.equal(text, "5") in (True, False)
            assert verifier.equal("5", text) in (True, False)
            assert not verifier.equal(text, r"\frac{1}{2}x")


def test_an_answer_of_five_thousand_digits(verifier):
    long = "7" * 5000
    assert verifier.equal(long, long) and verifier.equal(f"${long}$", long)
    others = [long[:-1], long[:-1] + "8", f"-{long}", "5", f"{long}.5", rf"\frac{{{long}}}{{2}}"]
    assert not any(verifier.equal(other, long) or verifier.equal(long, other) for other in others)


def test_numbers_out_of_bounds_equal_nothing_else(verifier):
    tower = "9^{9^{9^{9}}}"
    assert verifier.equal(tower, tower)
    for other in ("387420489", "10^{10^{100}}", r"\sin(10^{10^{10}})", "(10^9)!", "x"):
        assert not verifier.equal(other, tower)
    assert verifier._checker._workers._idle == []


@pytest.mark.parametrize("equal", [True, False])
def test_what_only_math_verify_knows(verifier, equal):
    assert verifier.equal(r"\sum_{k=1}^{4} k", "10" if equal else "11") is equal
    assert not verifier.equal(r"\sum_{k=1}^{4} \star k", "10")  # it would leave out what it does not know

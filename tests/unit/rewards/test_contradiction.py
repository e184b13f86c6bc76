import pytest

from igpo_lightning.rewards.contradiction import contradict


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("5 cm", "5 m"), ("5 p.m", "5 a.m."), ("5:00 PM", "5:00 am"), ("3 feet", "3 inches"),
        ("(2) h", "2min"), ("12_3", "12_{4}"), (r"\angle ABC", r"\angle ACB"),
    ],
)  # fmt: skip
def test_what_contradicts(text, other):
    assert contradict(text, other) and contradict(other, text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("5 cm", "5"), ("5 cm", "5 centimeters"), ("5 in", "5 inches"), ("5 inch", "5 in."),
        ("1 foot", "1 ft"), ("5 km/h", "5 mph"), ("5 apples", "5 pears"), ("5 cm^2", "5 m^2"), ("12_3", "12"),
        ("x_1", "x_2"), ("101_2", "101_{2}"), ("m", "s"), ("AB", "BA"), ("60", r"\angle ABC"), ("", ""),
        ("3 seconds", "3s"), ("8 millimetres", "8mm"),
    ],
)  # fmt: skip
def test_what_does_not(text, other):
    assert not contradict(text, other) and not contradict(other, text)

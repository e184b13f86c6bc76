import pytest

from igpo_lightning.rewards.layout import parts


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("18", ["18"]),
        ("-3, 8", ["-3", "8"]),
        (r"\left( 2, \frac{\pi}{3} \right)", ["2", r"\frac{\pi}{3}"]),
        (r"\begin{pmatrix} 1/3 \\ -4 \end{pmatrix}", ["1/3", "-4"]),
        (r"\begin{bmatrix} 1 & 0 \\ 7 & 2 \end{bmatrix}", ["1", "0", "7", "2"]),
        (r"(-\infty, 4] \cup (9, \infty)", ["4", "9"]),
        (r"\{3, 5\}", ["3", "5"]),
        ("(1,2),(3,4)", ["1", "2", "3", "4"]),
        (r"7 \text{ or } 9", ["7", "9"]),
        (r"3, 4, \text{ and } 5", ["3", "4", "5"]),
        ("(B) 12", ["B", "12"]),
        (r"\textbf{(D)}\ 24", ["D", "24"]),
        ("x = 11", ["11"]),
        ("y = 2x - 1", ["2x - 1"]),
        ("F=(3,0.5)", ["3", "0.5"]),
        (r"x \in [2, 6)", ["2", "6"]),
        (r"1 < x \le 8", ["1", "8"]),
        ("x=1, y=2", ["1", "2"]),
        ("12,345", ["12,345"]),
        (r"12,\!345\pi", [r"12345\pi"]),
        ("(a+1)(b+2)", ["(a+1)(b+2)"]),
        (r"\text{even}", ["even"]),
        (r"5\text{ degrees}", [r"5\text{degrees}"]),
        ("", []),
        (r"\text{}", []),
    ],
)
def test_what_an_answer_is_made_of(answer, expected):
    assert parts(answer) == expected


def test_deep_nesting_is_no_trouble():
    assert parts("(" * 300 + "1,2" + ")" * 200)
    assert parts("1," * 5000)
    assert parts("{" * 50_000)

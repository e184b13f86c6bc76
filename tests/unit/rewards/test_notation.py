import pytest

from igpo_lightning.rewards.notation import plain


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"( 3, \frac{\pi}{2} )"),
        (r"\$ 1{,}000\,000", r"\dollar 1000000"),
        ("**$\\frac12$**", r"\frac12"),
        ("½", r"\frac{1}{2}"),
        ("2√5", r"2\sqrt 5"),
        ("x²−1", "x^{2}-1"),
        ("7²⁰", "7^{20}"),
        ("1\u202f234\u200b", "1234"),
        ("12\u00b0", r"12\degree"),
        (r"12^{\circ}", r"12\degree"),
        (r"\mathrm{~cm}", r"\text{cm}"),
        (r"\text{12 eggs}", "12 eggs"),
        (r"\mathbf{7}", "7"),
        (r"\color{red}{7}.", "7"),
        (r"\boxed{7}", "7"),
        ("3 x 10^4", r"3 \times 10^4"),
        ("np.arcsin(0.5)", "arcsin(0.5)"),
        (r"\begin{bmatrix} 1 \\[1mm] 2 \end{bmatrix}", r"\open 1 \\ 2 \shut"),
        (r"\text{}", ""),
        ("...", ""),
    ],
)
def test_one_way_of_writing(answer, expected):
    assert plain(answer) == expected
    assert plain(expected) == expected

"""Answers that are told across the cells of a table, and what stands between two sums of money."""

import pytest

from igpo_lightning.data.mentions import mentions, merged
from igpo_lightning.data.mentions.views import folded, rows
from igpo_lightning.rewards import Verifier


@pytest.fixture(scope="module")
def verifier():
    return Verifier()


def left(trace, answer, verifier):
    """``trace`` with what is told as one underscore each."""
    text = trace
    for begin, end in reversed(merged(mentions(trace, answer, verifier))):
        text = f"{text[:begin]}_{text[end:]}"
    return text


def table(*lines, columns="c@{}c|c@{\\;}c"):
    return f"\\begin{{array}}{{{columns}}}\n" + " \\\\\n".join(lines) + "\n\\end{array}"


@pytest.mark.parametrize("line, answer, hint", [
    ("& 2. & 0 & 7", "2.07", "& _"),
    ("+ & 3 & 4. & 6", "34.6", "+ & _"),
    ("& 4 & 0 & 3_5", "403_5", "& _"),
    ("& - & 4 & 3_5", "-43_5", "& _"),
    ("&&1^{\\text{ }}&0^1&1&{}_{\\text{ }}0_3", "1010_3", "&&__3"),
    ("\\cline{2-4} & \\overset{1}{2} & \\phantom{0} & 9", "29", "\\cline{2-4} & \\overset{1}{_"),
    ("\\multicolumn{2}{r}{5x^2} & -3x & +1/4", "5x^2-3x+\\frac14", "\\multicolumn{2}{r}{_"),
    ("\\underline{6} & \\mathbf{1} & \\, 5", "615", "\\underline{_"),
    ("4 & 0 & 3", "430", "4 & 0 & 3"),
    ("4x & 2 & 3", "4x+3", "4x & 2 & 3"),
])  # fmt: skip
def test_rows_of_arrays(line, answer, hint, verifier):
    assert left(table("1 & 2", line), answer, verifier) == table("1 & 2", hint)


def test_rows_of_other_tables(verifier):
    assert left("| 3 | 1 | 7 |\n| 3 | 7 | 1 |", "371", verifier) == "| 3 | 1 | 7 |\n| _ |"
    assert left("   4 1 9 2\n + 1 2", "4192", verifier) == "   _\n + 1 2"
    assert left("\\begin{tabular}{l} $5$&$8$ \\cr $8$&$5$ \\end{tabular}", "85", verifier) == (
        "\\begin{tabular}{l} $5$&$8$ \\cr $_$ \\end{tabular}"
    )


def test_cells_of_matrices_belong_apart(verifier):
    text = "\\begin{pmatrix} 2 & 9 \\\\ 1 & 0 \\end{pmatrix}"
    assert left(text, "29", verifier) == text


def test_views_know_their_source():
    text = "a 1½ kg, x⁻²"
    view = folded(text)
    assert view.text == "a 1\\frac{1}{2} kg, x^{-2}"
    begin = view.text.index("1\\frac")
    begin, end = view.back((begin, begin + len("1\\frac{1}{2}")))
    assert text[begin:end] == "1½"
    [row] = [view for view in rows("\\begin{array}{c} 5 & 6 \\end{array}") if view.text]
    assert row.text == "56" and row.back((0, 2)) == (17, 22)


@pytest.mark.parametrize("trace, answer, hint", [
    ("It costs 20 * 4 = $80.\nAva then has 700 - 320 = $380 left.", "380",
     "It costs 20 * 4 = $80.\nAva then has 700 - 320 = $_ left."),
    ("They pay $246/3 kg = $82/kg.", "82", "They pay $246/3 kg = $_/kg."),
    ("Each is $9 for all of 4 friends, so it is 4 x 9 = $36.", "36",
     "Each is $9 for all of 4 friends, so it is 4 x 9 = $_."),
    ("Of $5 he keeps $x = 3\\text{ dollars}$ and $3$.", "3",
     "Of $5 he keeps $x = _\\text{ dollars}$ and $_$."),
    ("It is \\$5 or \\$6, so $\\$5 + \\$6 = \\$11$.", "11", "It is \\$5 or \\$6, so $\\$5 + \\$6 = \\$_$."),
    ("So $7 + 9 + 4\\text{ units} = 20\\text{ units}$.", "20", "So $7 + 9 + 4\\text{ units} = _$."),
    ("So $\\left\\lfloor \\frac{92}{7} \\right\\rfloor - 1 = 12$.", "12",
     "So $\\left\\lfloor \\frac{92}{7} \\right\\rfloor - 1 = _$."),
    ("As $abc=2$, it is $\\frac{2abc+4}{abc+2} = 2$.", "2", "As $abc=_$, it is $_ = _$."),
    ("$$7^2\n= 49$$ and $49$.", "49", "$$_\n= _$$ and $_$."),
])  # fmt: skip
def test_money_is_no_mathematics_and_arithmetic_tells_nothing(trace, answer, hint, verifier):
    assert left(trace, answer, verifier) == hint

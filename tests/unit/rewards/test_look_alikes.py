"""Answers that look alike and differ, and answers that look different and are the same.

What was decided where people disagree: a percent sign is a unit, so 10\\% is 10 and not 0.1, as in the
gold answers of MATH. A unit, and the base of a number, may be left out but not be another one. Values
count, not their form: 6 \\cdot 12 is 72. A comma groups thousands and is no decimal comma.
"""

import pytest

from igpo_lightning.rewards import Correctness, Verifier
from igpo_lightning.types import Problem

DIFFERENT = [
    ("172", "72"), ("72", "172"), ("7.2", "72"), ("720", "72"), ("27", "72"), ("72.5", "72"),
    ("71.999", "72"), ("0.5", "0.05"), ("1,000", "1.000"), ("1.000", "1,000"), ("1000", "1,00"),
    ("10", "1e2"), ("3.14", r"\pi"), ("0.333", r"\frac{1}{3}"), ("0.67", r"\frac{2}{3}"),
    ("1.41", r"\sqrt{2}"), ("2.718", "e"), ("-5", "5"), ("5", "-5"), ("+5", "-5"), (r"\pm 5", "5"),
    ("5", r"\pm 5"), ("|5|", "-5"), ("--5", "-5"), ("1/2", "2"), (r"\frac{1}{2}", r"\frac{2}{1}"),
    (r"\frac{1}{2}", "12"), (r"1\frac{1}{2}", r"\frac{1}{2}"), (r"1\frac{1}{2}", r"\frac{11}{2}"),
    (r"\frac{3}{4}", r"\frac{3}{5}"), (r"-\frac{1}{2}", r"\frac{1}{2}"), (r"\frac{1}{x}", "x"),
    (r"\frac{a}{b}", r"\frac{b}{a}"), (r"\sqrt{2}", "2"), (r"\sqrt{2}", r"\sqrt{3}"),
    (r"2\sqrt{3}", r"3\sqrt{2}"), (r"\sqrt[3]{8}", r"\sqrt{8}"), (r"\sqrt{23}", r"2\sqrt{3}"),
    (r"3\pi", "3"), (r"\pi", "3"), (r"2\pi", r"\pi"), (r"\frac{\pi}{2}", r"\frac{\pi}{3}"),
    ("2^{10}", "210"), ("2^3", "3^2"), ("2^{-1}", "-2"), ("10^2", "102"), ("x^2", "2x"), ("e^2", "2e"),
    ("5!", "5"), ("i", "1"), ("3+4i", "3-4i"), ("4i", "4"), (r"\infty", r"-\infty"), (r"\infty", "8"),
    ("x+1", "x-1"), ("x+y", "x-y"), ("x", "y"), ("2x", "x+2"), ("(x+1)^2", "x^2+1"), ("x=5", "5x"),
    ("x=5", "x=-5"), ("x>3", "x<3"), ("x>3", r"x\ge 3"), (r"x \le 3", r"x \ge 3"), (r"x \neq 3", "x = 3"),
    ("y=2x+1", "y=2x-1"), (r"\sin x", r"\cos x"), (r"\log 2", r"\ln 2"), ("f(x)=x", "f(x)=-x"),
    ("(1,2)", "(2,1)"), ("(1,2)", "(1,2,3)"), ("(1,2)", "12"), ("(1,2)", "1.2"), ("1,2", "1.2"),
    ("1,2", "(1,2,2)"), ("[0,1)", "[0,1]"), ("(0,1)", "[0,1]"), ("(0,1]", "[0,1)"),
    (r"(-\infty,2)", r"(-\infty,2]"), (r"(2,\infty)", r"(-\infty,2)"), (r"[0,1] \cup [2,3]", "[0,1]"),
    (r"[0,1] \cup [2,3]", "[0,3]"), (r"\{1,2\}", r"\{1,2,3\}"), (r"\{1,2\}", r"\{1,3\}"), ("1,2,3", "1,2"),
    ("1", "1,2"), (r"\emptyset", "0"), (r"\{0\}", r"\emptyset"), (r"\{\}", "0"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 2 \\ 1 \end{pmatrix}"), (r"10\%", "0.1"),
    ("0.1", r"10\%"), ("10", r"0.1\%"), (r"5\text{ cm}", r"5\text{ m}"), (r"5\text{ cm}", r"50\text{ cm}"),
    (r"5 \text{ cm}^2", "25"), (r"\$5", r"\$0.05"), (r"45^\circ", r"\frac{45}{2}"),
    (r"90^\circ", r"\frac{\pi}{3}"), ("5:30", "5.30"), ("3:2", "2:3"), ("3:00", "300"), ("A", "B"),
    (r"\text{(A)}", r"\text{(B)}"), ("A", "a+1"), (r"\text{Yes}", r"\text{No}"),
    (r"\text{even}", r"\text{odd}"), (r"\text{no solution}", "0"), ("0", r"\text{no solution}"),
    (r"\text{none}", "0"), (r"\text{undefined}", "0"), (r"\text{Evelyn}", r"\text{Evan}"),
    (r"\text{Monday}", r"\text{Tuesday}"), (r"\text{east}", r"\text{seat}"),
    (r"\text{listen}", r"\text{silent}"), ("ABC", "CBA"), ("DEF", "FED"),
    (r"\text{Ann, Bob}", r"\text{Bob, Ann}"), ("101_2", "5_{8}"), ("12_3", "12_4"),
    (r"2 \pmod{7}", r"2 \pmod{5}"), (r"2 \pmod 7", "7"), (r"3 \pmod{7}", r"2 \pmod{7}"), ("", "5"),
    (r"\text{}", "5"), ("{}", "5"), (r"\ ", "5"), ("...", "5"), ("?", "5"), (r"\boxed", "5"),
    (r"\frac{", "5"), ("{5", "5,5"), ("5 or 6", "5"), ("5, 6", "5"), ("5 = 6", "5"),
    (r"5 \text{ or } 6", "6"), ("72 = 72", "73"), ("1=1", "5"), ("x", "5"), ("n", "5"), ("answer", "5"),
    (r"\text{The answer}", "5"), ("x = 1, y = 2", "x = 2, y = 1"), ("5+5", "11"),
    (r"\langle 1,2 \rangle", r"\langle 2,1 \rangle"), ("(1,2),(3,4)", "(1,4),(3,2)"), ("1<x<3", "1<x<4"),
    ("1<x<3", r"1\le x\le 3"), (r"x<1 \text{ or } x>3", "x<1"), (r"\{5,6\}", "5"), ("5", r"\{5,6\}"),
    ("[1,2]", r"\{1,2\}"),
    (r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", r"\begin{pmatrix} 0 & 1 \\ 1 & 0 \end{pmatrix}"),
    (r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", "1"),
   
    (r"\begin{pmatrix} 1 \\ 2 \\ 3 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"\begin{pmatrix} 5 \\ 7 \end{pmatrix}", "5"), (r"\left|x\right|", "x"), ("|x|", "x"),
    (r"\lfloor x \rfloor", "x"), (r"\frac{x}{y}", "xy"), ("x_1", "x_2"), ("x_1", "x"), ("a_{10}", "a_1"),
    (r"\sqrt{x}", "x"), ("x^{1/2}", "x^2"), (r"\sin^2 x", r"\sin x"), (r"\overline{AB}", r"\overline{CD}"),
    (r"0.\overline{3}", "0.3"), (r"0.\overline{3}", r"0.\overline{6}"), (r"\frac{22}{7}", r"\pi"),
    (r"\angle ABC", r"\angle ACB"), ("ABCD", "ABDC"), (r"\text{Jan. 5}", r"\text{Jan. 6}"),
    (r"\text{5 PM}", r"\text{5 AM}"), (r"5\text{ p.m.}", r"5\text{ a.m.}"),
    (r"5:00 \text{ p.m.}", r"5:00 \text{ a.m.}"), (r"\text{odd}", r"\text{even}"),
    (r"\text{C, D}", r"\text{C}"), ("A, C", "A"), ("A,B", "B,C"), (r"-\infty", r"\infty"), ("(-1)^n", "1"),
    ("n!", "n"), (r"\binom{5}{2}", r"\binom{5}{1}"), (r"\binom{5}{2}", r"\frac{5}{2}"),
    (r"\log_2 8", r"\log_8 2"), (r"\tan^{-1} x", r"\frac{1}{\tan x}"), ("2x+3=0", "2x+3"), ("x=2,3", "x=2"),
    (r"x=2 \text{ or } x=3", "x=2"), ("x=2", "2x"), ("y=2", "x=2"), ("a=3", "b=3"), ("3", "a=b"),
    ("m=2,n=3", "m=3,n=2"), (r"\$5", r"\$6"), (r"\$1.50", r"\$150"), ("1.5", "15"), ("1,5", "1.5"),
    ("0,5", "0.5"), ("1 000", "1"), ("1 000", "1000000"), ("1e3", "103"), ("1e3", "3"),
    (r"6.02 \times 10^{23}", r"6.02 \times 10^{22}"), (r"6.02 \times 10^{23}", "6.02"), ("10^{-3}", "10^3"),
    (r"1\text{ h}", r"1\text{ min}"),
    (r"3 \text{ ft}", r"3 \text{ in}"), (r"\text{True}", r"\text{False}"), ("T", "F"), (r"\boxed{5}", "6"),
    ("f^{-1}(x)", "f(x)"), (r"\mathbb{R}", r"\mathbb{Z}"), (r"\mathbb{R}", "R"),
    (r"\mathbb{R} \setminus \{0\}", r"\mathbb{R}"), (r"\frac{1}{2}x", r"\frac{1}{2x}"), ("2n", "n"),
    ("n+1", "n"), (r"\frac{n(n+1)}{2}", r"\frac{n(n-1)}{2}"), (r"1+\sqrt{2}", r"1-\sqrt{2}"),
    (r"1\pm\sqrt{2}", r"1+\sqrt{2}"), (r"\frac{-1+\sqrt{5}}{2}", r"\frac{1+\sqrt{5}}{2}"),
    (r"7 \frac{3}{4}", r"\frac{73}{4}"), (r"7 \frac{3}{4}", "7"), (r"5 \text{R} 2", "5"), ("5r2", "5"),
    ("2^{3^2}", "64"), ("(2,3)", "[2,3)"), (r"(2, \infty)", r"[2, \infty)"),
    ("I", "1"), ("II", "III"), (r"\text{II}", r"\text{III}"), ("9999999", "10000000"),
    ("0", "-1"), ("O", "0"), ("l", "1"), ("2.0000001", "2"), ("1.9999999", "2"), ("0.30000001", "0.3"),
    ("10000001", "10000000"), ("1000001", "1000000"), ("x+1000001", "x+1000000"),
    (r"\frac{1000001}{1000000}", "1"),
]  # fmt: skip


SAME = [
    ("1,000", "1000"), ("1{,}000", "1000"), (r"10,\!080", "10080"), ("42.0", "42"), ("42.", "42"),
    ("+42", "42"), (".5", "0.5"), ("0.50", "0.5"), ("007", "7"), ("-5", "\u22125"), ("- 5", "-5"),
    ("2/4", "1/2"), (r"\frac12", r"\frac{1}{2}"), (r"\dfrac{1}{2}", "0.5"),
    (r"\tfrac{3}{4}", r"\frac{3}{4}"), (r"1\frac{1}{2}", r"\frac{3}{2}"), (r"1\frac{1}{2}", "1.5"),
    (r"-\frac{1}{2}", r"\frac{-1}{2}"), (r"\frac{-1}{-2}", r"\frac{1}{2}"), ("3/1", "3"),
    (r"\sqrt{12}", r"2\sqrt{3}"), (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}"), (r"\sqrt2", r"\sqrt{2}"),
    ("2^{10}", "1024"), ("10^{2}", "100"), (r"3 \times 10^8", "3e8"), (r"3 \cdot 10^{8}", "300000000"),
    (r"\sqrt[3]{8}", "2"), ("8^{1/3}", "2"), (r"3\pi", r"3 \pi"), (r"\pi \cdot 3", r"3\pi"),
    (r"\frac{\pi}{2}", r"\pi/2"), ("x+1", "1+x"), ("(x+1)^2", "x^2+2x+1"), ("x=5", "5"), ("x = 5", "x=5"),
    ("6-5i", "6 - 5i"), ("2x", r"x \cdot 2"), ("y = 2x+1", "y=1+2x"), ("(1,2)", "(1, 2)"),
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"), ("[0,1)", r"\left[0,1\right)"),
    (r"(-\infty,2]", r"(-\infty, 2]"), (r"\{1,2\}", r"\{2,1\}"), ("3,5,7", "3, 5, 7"), (r"\{1,2\}", "1,2"),
    (r"[0,1] \cup [2,3]", r"[0,1]\cup[2,3]"),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}"), (r"25\%", "25"),
    ("25%", r"25\%"), (r"\$18.90", "18.9"), ("$18.90$", "18.90"), (r"\$1,200", "1200"),
    (r"10\text{ cm}", "10"), (r"10 \text{ cm}", r"10\text{cm}"), (r"76^\circ", "76"),
    (r"76^{\circ}", r"76^\circ"), (r"5 \text{ square units}", "5"), (r"90\text{ degrees}", "90"),
    (r"\text{B}", "B"), ("(B)", r"\text{B}"), (r"\text{(B)}", r"\text{B}"), ("B.", "B"),
    (r"\textbf{B}", "B"), (r"\text{Even}", "even"), (r"\text{Evelyn}", "Evelyn"),
    (r"\text{no solution}", "No solution"), ("101_2", "101_{2}"), (r"2 \pmod{7}", r"2 \pmod 7"),
    ("5!", "120"), (r"\binom{5}{2}", "10"), (r"\log_2 8", "3"), (r"\infty", r"+\infty"), ("72.", "72"),
    (" 72 ", "72"), (r"\mathbf{72}", "72"), ("{72}", "72"), (r"\,72", "72"), (r"72\,", "72"),
    ("5:30", r"5\!:\!30"), ("3:2", "3 : 2"), (r"x \ge 3", r"x \geq 3"), (r"x\le3", r"x \leq 3"),
    (r"x \in [0,1)", "[0,1)"), (r"\pm 5", r"\pm5"), ("(1,2),(3,4)", "(3,4),(1,2)"),
    (r"\langle 1,2 \rangle", r"\langle 1, 2\rangle"), (r"x=2 \text{ or } x=3", "2,3"), ("x=2,3", "2,3"),
    (r"2 \text{ and } 3", "2,3"), (r"0.\overline{3}", r"\frac{1}{3}"), (r"\frac{1}{2}x", r"\frac{x}{2}"),
    (r"\sin^2 x", r"(\sin x)^2"), (r"1\pm\sqrt{2}", r"1+\sqrt{2},1-\sqrt{2}"), (r"7 \frac{3}{4}", "7.75"),
    (r"\overline{AB}", r"\overline{AB}"),
    (r"\begin{pmatrix} 1 & 0 \\ 0 & 1 \end{pmatrix}", r"\begin{bmatrix} 1&0\\0&1 \end{bmatrix}"),
    (r"5\text{ p.m.}", r"5 \text{ pm}"), (r"90\text{ degrees}", r"90^\circ"),
    (r"5 \text{ inches}", r"5 \text{ in}"), ("C,D", r"\text{C, D}"), (r"\text{(C)}", "C"),
    (r"\text{ C }", "C"), (r"(-\infty,0)\cup(0,\infty)", r"(-\infty,0) \cup (0, \infty)"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"), ("x^3-6x^2+11x-6", "(x-1)(x-2)(x-3)"), ("|{-5}|", "5"),
    (r"24\pi \text{ cm}^3", r"24\pi"), (r"16\text{ cm}^2", "16"), ("16 cm", "16"), ("$16", "16"),
    (r"16 \%", "16"), (r"y=\frac{1}{2}x+3", "y = 0.5x+3"), (r"\sqrt{50}", r"5\sqrt{2}"),
    (r"50 \sqrt{2} ", r"50\sqrt2"), (r"-\frac{3}{2}", "-1.5"), (r"\frac{9}{4}", "2.25"),
    (r"1\,000\,000", "1000000"), ("2,000,000", "2000000"), (r"\ 5", "5"), (r"\text{5}", "5"),
    (r"\mathrm{5}", "5"), ("5 .", "5"), (r"\operatorname{lcm}", r"\operatorname{lcm}"),
    (r"x\in\{1,2\}", r"\{1,2\}"), ("n=5", "5"), (r"\theta = 30^\circ", "30"), (r"k = \frac{1}{2}", "1/2"),
    (r"\left\{1,2\right\}", r"\{1,2\}"), (r"\left(1,2\right]", "(1,2]"),
    (r"\displaystyle \frac{1}{2}", r"\frac{1}{2}"),
]  # fmt: skip


@pytest.fixture(scope="module")
def correctness():
    verifier = Verifier()
    yield Correctness(verifier)
    verifier.close()


def judged(correctness, pairs):
    completions = [rf"So the answer is $\boxed{{{stated}}}$." for stated, _ in pairs]
    return zip(pairs, correctness([Problem("", "", "", gold) for _, gold in pairs], completions), strict=True)


def test_look_alikes_are_wrong_either_way_round(correctness):
    assert len(DIFFERENT) > 200
    both = DIFFERENT + [(gold, stated) for stated, gold in DIFFERENT]
    assert [pair for pair, right in judged(correctness, both) if right] == []


def test_other_ways_of_writing_it_are_right(correctness):
    assert len(SAME) > 100
    assert [pair for pair, right in judged(correctness, SAME) if not right] == []

"""What tells an answer in other words, signs or pieces; and what does not."""

from pathlib import Path

import pytest

from igpo_lightning.data.mentions import mentions, merged
from igpo_lightning.data.mentions.formulas import value_of
from igpo_lightning.data.mentions.number_words import in_words
from igpo_lightning.data.mentions.values import same
from igpo_lightning.data.traces import answer_spans
from igpo_lightning.rewards import Verifier


@pytest.fixture(scope="module")
def verifier():
    return Verifier()


def left(trace, answer, verifier):
    """``trace`` with every told character as an underscore."""
    text = list(trace)
    for begin, end in merged(mentions(trace, answer, verifier)):
        text[begin:end] = "_" * (end - begin)
    return "".join(text)


@pytest.mark.parametrize("trace, answer, told", [
    # digits in groups
    ("about 4, 816 or 4 816 or 4'816", "4816", ["4, 816", "4 816", "4'816"]),
    ("$71{,}004$ or 71\\,004 or $71~004$", "71004", ["71{,}004", "71\\,004", "71~004"]),
    # words
    ("she has ninety-six, or eight dozen", "96", ["ninety-six", "eight dozen"]),
    ("half a dozen of them, the sixth", "6", ["half a dozen", "sixth"]),
    ("1.4 million, $1.4\\text{ million}$, one million four hundred thousand", "1400000",
     ["1.4 million", "1.4\\text{ million", "one million four hundred thousand"]),
    ("3.5k and 3,500", "3500", ["3.5k", "3,500"]),
    ("two-thirds or 2/3, 66.7 or 0.667", "\\frac23", ["two-thirds", "2/3", "0.667"]),
    # percent and cents
    ("25\\% or 0.25 or one quarter", "\\frac14", ["25\\%", "0.25", "one quarter"]),
    ("that is 0.35 of all", "35\\%", ["0.35"]),
    ("60 cents", "\\$0.60", ["60 cents"]),
    # fractions, roots and mixed numbers
    ("$\\sqrt{176}$ or $\\sqrt{16 \\cdot 11}$", "4\\sqrt{11}", ["\\sqrt{176}", "\\sqrt{16 \\cdot 11}"]),
    ("$\\frac{94}{9}$ is 94/9", "10\\frac{4}{9}", ["\\frac{94}{9}", "94/9"]),
    ("$\\frac{3}{\\sqrt 5}$, about 1.342", "\\frac{3\\sqrt{5}}{5}", ["\\frac{3}{\\sqrt 5}", "1.342"]),
    ("the ratio is $\\frac{7}{9}$ or 14 to 18", "7:9", ["\\frac{7}{9}", "14 to 18"]),
    ("a third is .333..., 0.33…, 33.3% or 33.33 percent", "\\frac13", [".333", "0.33", "33.3", "33.33"]),
    ("cut off it is 0.8333, rounded 83.3\\% or .833, 83 1/3 percent", "\\frac56",
     ["0.8333", "83.3", ".833", "83 1/3"]),
    ("about 1.429 million", "\\frac{10000000}{7}", ["1.429"]),
    # a number and a part
    ("2½ or 2 ½ or 2 1⁄2 or 2 and 1/2, two-and-a-half", "2.5",
     ["2½", "2 ½", "2 1⁄2", "2 and 1/2", "two-and-a-half"]),
    ("an hour and a quarter; 1 and \\frac14 hours; a mile and one quarter", "1.25",
     ["an hour and a quarter", "1 and \\frac14", "a mile and one quarter"]),
    ("3 and three-quarters, three inches and three quarters, 3¾", "\\frac{15}{4}",
     ["3 and three-quarters", "three inches and three quarters", "3¾"]),
    ("2½ million, 2 and a half million, 2 1/2 million", "2500000",
     ["2½ million", "2 and a half million", "2 1/2 million"]),
    # several units
    ("6 dollars and 25 cents, $6 and 25 cents, six dollars, twenty-five cents, 625 cents", "6.25",
     ["6 dollars", "$6 and", "six dollars", "625"]),
    ("7 feet 3 inches, 7.25 feet, 7'3\", 7¼ ft, 87 inches", "7 ft 3 in",
     ["7 feet", "7.25", "7'3", "7¼", "87"]),
    ("it takes 2 hours and 45 minutes", "165\\text{ minutes}", ["2 hours", "45"]),
    ("$3$ lb $4$ oz, 3\\text{ lb } 4\\text{ oz}", "3.25 lb", ["3\\text", "4\\text"]),
    # signs of Unicode, Greek letters and roots without a backslash
    ("15pi, 15*pi, 15 pi, 15·π", "15\\pi", ["15"]), ("2 sqrt(7), 2sqrt(7), 2√7", "2\\sqrt7", ["7"]),
    ("10⁶ of them; x⁻²", "1000000", ["10⁶"]), ("so θ∕3", "\\frac{\\theta}{3}", ["θ∕3"]),
    ("so t ≥ −4", "[-4, \\infty)", ["4"]), ("１２ of them", "12", ["１２"]),
    # algebra
    ("$6-5x$ and $-5x+6$", "6 - 5x", ["6-5x", "-5x+6"]),
    ("$(y-4)(y+1)$", "y^2-3y-4", ["(y-4)(y+1)"]),
    ("so $3y = 6x - 12$", "y = 2x - 4", ["3y = 6x - 12"]),
    ("$\\frac{7 \\pm \\sqrt{13}}{2}$", "\\frac{7 - \\sqrt{13}}{2}", ["\\frac{7 \\pm \\sqrt{13}}{2}"]),
    # powers and the like are values
    ("$10^5$, $5 \\times 10^4 \\cdot 2$", "100000", ["10^5", "5 \\times 10^4"]),
    ("{9 \\choose 2} ways", "36", ["{9 \\choose 2}"]),
    # parts
    ("$a=-6$ or $b=2$", "2, -6", ["-6", "2"]),
    ("$x=5$, $y=\\frac{2}{4}$", "\\left(5, \\frac12\\right)", ["5", "\\frac{2}{4}"]),
    ("$x=8$ and $y=-11$", "\\begin{pmatrix} 8 \\\\ -11 \\end{pmatrix}", ["8", "-11"]),
    ("$x=103$, $y=117$", "(103,117)", ["103", "117"]),
    ("we need $t < 6$ and $t \\ge -2$", "[-2,6)", ["6", "-2"]),
    ("$x > \\sqrt{12}$", "(2\\sqrt3, \\infty)", ["\\sqrt{12}"]),
    # sets that have names
    ("it holds for all real numbers", "(-\\infty,\\infty)", ["all real numbers"]),
    ("for every real x, all of ℝ, $\\left(-\\infty, \\infty\\right)$ or $-\\infty < t < \\infty$",
     "\\text{all reals}", ["every real", "ℝ", "-\\infty, \\infty", "t < "]),
    ("so the set is empty: ∅, $\\{ \\}$, or there are\nno solutions", "\\text{no solution}",
     ["∅", "\\{", "solution"]),
    ("there is no solution; it is the null set", "\\varnothing", ["solution", "null set"]),
    # times and ratios
    ("at 8:05, 08:05 or $8{:}05$", "8:05 p.m.", ["8:05", "{:}"]),
    ("so $5 \\text{ to } 8$, 5 to 8, 5 : 8, 5\\colon 8", "5:8", ["5 ", "5\\colon"]),
    ("it is 5:8, or 10:16", "5 \\text{ to } 8", ["5:8"]),
    # letters of units, money
    ("80 s, 1 min 20 s", "1\\text{ minute }20\\text{ seconds}", ["80", "1 min", "20"]),
    ("₹350, Rs. 350 or 350 rupees", "Rs. 350", ["350"]),
    ("the inverse is $\\frac{x}{5} + 2$", "f^{-1}(x) = \\frac{x+10}{5}", ["\\frac{x}{5} + 2"]),
    ("Tennis and chess", "\\text{Chess, Tennis}", ["Tennis", "chess"]),
    # words in other letters, options
    ("an ODD number, odds", "\\text{odd}", ["ODD", "odds"]),
    ("two Parabolas, one parabola", "\\text{parabola}", ["Parabolas", "parabola"]),
    ("(D) 31 fits, for 31 is prime", "\\text{D}", ["(D)", "31"]),
    ("it is 31, so (D) 31", "31", ["31", "(D)"]),
    # another base, a rounded value, a value with a unit
    ("in base 3 it is 2101", "2101_3", ["2101"]),
    ("exactly 7.4833, rounded 7.48", "7.48", ["7.4833", "7.48"]),
    ("so 6 m/s^2, or 6\\text{ m/s}^2", "6 \\frac{m}{s^2}", ["6 m", "6\\text"]),
    ("it takes 33/4 days, 8.25", "8\\frac14\\text{ days}", ["33/4", "8.25"]),
])  # fmt: skip
def test_what_tells(trace, answer, told, verifier):
    hint = left(trace, answer, verifier)
    for text in told:
        assert text not in hint, hint
    for begin, end in mentions(trace, answer, verifier):
        assert 0 <= begin < end <= len(trace)


@pytest.mark.parametrize("trace, answer, stays", [
    ("172, 7.2, 720, 1,072, seventy-three", "72", "172, 7.2, 720, 1,072, seventy-three"),
    ("a third of it, 3 of 9", "5", "a third of it, 3 of 9"),
    ("an article, a bat", "\\text{A}", "an article, a bat"),
    ("evenly, seven", "\\text{even}", "evenly, seven"),
    ("48 + 24, 6 \\cdot 12, (8)(9), 144/2, \\frac{144}{2}, 90 - 3 x 6", "72",
     "48 + 24, 6 \\cdot 12, (8)(9), 144/2, \\frac{144}{2}, 90 - 3 x 6"),
    ("first 3 + 4 of 9 + 8", "12", "first 3 + 4 of 9 + 8"),
    ("$x+1$ and $2x-1$", "2x+1", "$x+1$ and $2x-1$"),
    ("$\\infty$ is no bound", "[3,\\infty)", "$\\infty$ is no bound"),
    ("3.14 is about it", "3", "3.14 is about it"),
    ("it is 71.6, so round up", "72", "it is 71.6, so round up"),
    ("0.67, 67%, 66.3%, .663, 3 1/4", "\\frac23", "0.67, 67%, 66.3%, .663, 3 1/4"),
    ("1 day; 1 and 2; an hour and a day", "1.5", "1 day; 1 and 2; an hour and a day"),
    ("1 of 2, 2 of 7", "1\\frac12", "1 of 2, 2 of 7"),
    ("6 dollars, 6 feet 25 cents, 5 in 4 ft", "6.25", "6 dollars, 6 feet 25 cents, 5 in 4 ft"),
    ("12 pies, 12 pints", "12\\pi", "12 pies, 12 pints"),
    ("1 2 3 5, 2 3", "1235.5", "1 2 3 5, 2 3"),
    ("at 8:50, from 5 to 80, 18:05", "8:05", "at 8:50, from 5 to 80, 18:05"),
    ("a real number, positive real numbers", "\\emptyset", "a real number, positive real numbers"),
    ("one solution, no real root", "\\text{no solution}", "one solution, no real root"),
])  # fmt: skip
def test_what_tells_nothing(trace, answer, stays, verifier):
    assert left(trace, answer, verifier) == stays


SPELLINGS = Path(__file__).parents[1] / "rewards" / "verdicts" / "spellings.txt"


@pytest.mark.parametrize("form", ["It is {} in all.", "It is ${}$ in all."])
def test_what_the_grader_takes_for_the_answer_is_told(form, verifier):
    pairs = [line.rsplit(" | ", 2) for line in SPELLINGS.read_text(encoding="utf-8").splitlines()]
    same = [(pair[0], pair[1]) for pair in pairs if pair[2:] == ["T"]]
    assert len(same) > 90
    assert [pair for pair in same if not mentions(form.format(pair[0]), pair[1], verifier)] == []


@pytest.mark.parametrize("said, value", [
    ("one hundred and seven", 107), ("twenty-first", 21), ("nineteen", 19), ("three and a half", 3.5),
    ("two thousand three hundred", 2300), ("a dozen", 12), ("five eighths", 0.625),
])  # fmt: skip
def test_numbers_in_words(said, value):
    found = {(start, end): values for start, end, values in in_words(f"so {said} it is")}
    assert value in {float(v) for v in found[3, 3 + len(said)]}


@pytest.mark.parametrize("left_text, right_text, equal", [
    ("\\sin^2 y", "1 - \\cos^2 y", True), ("\\frac{\\sqrt6}2", "\\sqrt{\\frac32}", True),
    ("\\binom{7}{2}", "21", True), ("0.1\\overline{6}", "1/6", True),
    ("e^{2\\pi i/3}", "\\frac{-1+i\\sqrt3}{2}", True),
    ("|3-4i|", "5", True), ("x^2y", "xy^2", False), ("\\log_2 32", "5", True), ("a_1", "a_2", False),
    ("2^{-3}", "0.125", True), ("\\frac\\pi2", "π/2", True), ("x²", "x^2", True),
])  # fmt: skip
def test_values_of_formulas(left_text, right_text, equal):
    assert same(value_of(left_text), value_of(right_text)) is equal


@pytest.mark.parametrize(
    "text", ["", "(", "x +", "2 apples each", "10^{400}", "1/0", "\\frac{1}", "(((" * 50]
)
def test_text_without_a_value(text):
    assert value_of(text) is None


@pytest.mark.parametrize("trace, answer", [
    ("It is 46.\nThe answer is: 46 crates", "46"), ("So $\\boxed{y=11}$.", "11"),
    ("It is 46.\nThe answer is **46**.", "46"),
    ("It takes 46 days.\n\n**Final Answer**\n\\boxed{46}", "46"), ("So $\\boxed{2,350}$.", "2350"),
    ("It takes 46 days.\nAnswer: 46", "46"), ("so 46\n<answer>46</answer>", "46"),
    ("We add.\nFinal Answer:\n$46$", "46"), ("Dan wins.\nThe final answer is Dan.", "Dan"),
])  # fmt: skip
def test_final_statements_are_found_as_the_reward_finds_them(trace, answer):
    final = answer_spans(trace, answer)
    kept = "".join(
        c for i, c in enumerate(trace[: final.start]) if not any(b <= i < e for b, e in final.spans)
    )
    assert answer not in kept and kept.strip()


@pytest.mark.parametrize("text", [
    "(1+" * 9_000, "one hundred and " * 5_000, "\\sin " * 9_000, "1 000 " * 9_000, " " * 50_000,
    "\\frac{1}{2}" * 4_000, "√" * 9_000, "$1$ " * 9_000, "½" * 9_000, "1 & \\\\" * 4_000, "| 1 |\n" * 4_000,
    "5 ft 6 in " * 3_000, "an hour and " * 5_000, "\\phantom{" * 5_000 + "&1", "$$" * 9_000, "1 and " * 9_000,
])  # fmt: skip
def test_long_and_broken_text_ends(text, verifier):
    assert isinstance(mentions(text, "\\frac{3}{4}", verifier), list)

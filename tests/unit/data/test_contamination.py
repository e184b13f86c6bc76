"""Training problems that stand in a benchmark: same text, or thirteen words in a row."""

import json
import re

import pytest
from fakes import Memory, compose, sft_fit, source, tiny_policy, trainer
from hydra.utils import instantiate

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.data.account import CONTAMINATED, FILE
from igpo_lightning.data.contamination import Decontaminator, find
from igpo_lightning.data.problem_text import Reading
from igpo_lightning.evaluation.benchmarks import Benchmark
from igpo_lightning.types import Problem

LONG = "A farmer has 17 sheep and buys 25 more on each of the next 4 market days before winter comes."


def problem(text, id="t"):
    return Problem(id, text, "#### 5", "5")


def found(text, *others, train=()):
    """What ``text`` stands in, among problems with these texts."""
    held = [problem(other, f"b/{i}") for i, other in enumerate(others)]
    overlaps = find([problem(text, "me"), *train], held)
    return next((overlap.other for overlap in overlaps if overlap.problem.id == "me"), None)


@pytest.mark.parametrize(
    "text, other, stands",
    [
        (LONG, LONG, True),
        (f"Think well. {LONG.upper()} How many?", LONG, True),
        (LONG.replace("17", "18"), LONG, True),  # thirteen words stay as they are
        (LONG.replace("17", "18").replace("next 4", "next 5"), LONG, False),
        ("Another farmer has 17 sheep and buys 25 more on each of the", LONG, False),  # twelve words
        ("What is $2 + 3$?", "what is  2+3 ?", True),
        ("What is 2 + 3?", "What is 2 - 3?", False),
        ("What is 2 + 3?", "What is 2 + 3 + 4?", False),
        ("Compute $\\left(\\dfrac{1}{2}\\right)^2$.", "Compute $(\\frac{1}{2})^2.$", True),
        ("He earns $1,500. How much?", "He earns \\$1500. How much?", True),
        ("So: what is the least prime number over 50? Say", "What is the least prime number over 50?", True),
        ("Is the largest prime number below 500 what?", "What is the largest prime number below 50?", False),
        ("三个农夫有多少只羊", "五个渔夫有多少条鱼", False),
        ("三个农夫有多少只羊", "三个农夫有多少只羊", True),
        ("??", "!!", False),
        ("Find $x$. [asy] draw((0,0)--(8,0)--(8,6)--(0,6)--cycle); label(1,2,3,4,5); [/asy]",
         "Find this area. [asy] draw((0,0)--(8,0)--(8,6)--(0,6)--cycle); label(1,2,3,4,5); [/asy]", False),
    ],
)  # fmt: skip
def test_same_text_or_thirteen_words(text, other, stands):
    assert (found(text, other) == "b/0") is stands


@pytest.mark.parametrize("text, other", [
    ("Find \\(x\\) if \\[x^3 = 27.\\]", "Find $x$ if $$x^3 = 27.$$"),
    ("Simplify 7 − 2×3.", "Simplify $7-2 \\times 3$."),
    ("Simplify $7 - 2 \\cdot 3$.", "Simplify $7-2*3$."),
    ("What is $\\operatorname{cos}45°$?", "What is $\\cos 45^\\circ$?"),
    ("What is \\frac37+\\tfrac{3}4?", "What is $\\frac{3}{7} + \\dfrac{3}{4}$?"),
    ("What is $\\frac ab$ if 3/7 of $b$ is $a$?", "What is $\\frac{a}{b}$ if $\\frac37$ of $b$ is $a$?"),
    ("Evaluate \\frac{1+\\frac13}{2}.", "Evaluate $\\frac{1 + \\frac{1}{3}}{2}$."),
    ("Evaluate $\\log_381$.", "Evaluate $\\log_3 81$."),
    ("Is $x ≤ 4π$ or x² ≥ 9?", "Is $x \\leq 4\\pi$ or $x^{2} \\geqslant 9$?"),
    ("Is |y| <= 8?", "Is $\\lvert y \\rvert \\le 8$?"),
    ("Compute \\dbinom{9}{4}.", "Compute $\\binom94$."),
    ("Compute 1+2+\\cdots+50.", "Compute $1 + 2 + \\dotsb + 50.$"),
    ("**Compute** √17 + 1.", "Compute $\\sqrt{17}+1.$"),
])  # fmt: skip
def test_one_text_in_two_notations(text, other):
    assert found(text, other) == "b/0" == found(other, text)
    changed = re.sub(r"[1-8]", lambda digit: str(int(digit[0]) + 1), text)
    assert found(changed, other) is None


@pytest.mark.parametrize("frame", [
    "Question: {}", "{} Put your final answer in \\boxed{{}}.", "### Problem\n{}\n\n**Show** your work.",
    "{}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
])  # fmt: skip
def test_a_frame_around_a_short_problem(frame):
    for text in ("Simplify $\\sqrt{150}$.", "Compute $\\dbinom{9}{4}$.", "Factor $y^2-36$."):
        assert found(frame.format(text), text) == "b/0"
    assert found("Simplify $\\sqrt{150}+1$.", "Simplify $\\sqrt{150}$.") is None
    assert found("Find $y$ if Tom is 7 and Ann is $y$ years older.", "Find $y$.") is None


@pytest.mark.parametrize("text, stands", [
    ("How many odd integers are there that solve $|x-3| < 7.2$?", True),
    ("Find the number of odd integers that solve |x-3|<7.2.", True),
    ("How many odd positive integers solve $|x-3| < 7.2$?", True),  # one word for ten
    ("How many odd positive prime integers solve $|x-3| < 7.2$?", False),
    ("How many even integers solve $|x-3| < 7.2$?", False),
    ("How many odd integers solve $|x-3| > 7.2$?", False),
    ("How many odd integers solve $|x-3| < 7.3$?", False),
    ("How many integers solve an odd $|x-3| < 7.2$?", False),
])  # fmt: skip
def test_a_short_problem_with_words_put_in(text, stands):
    other = "How many odd integers solve $|x-3| < 7.2$?"
    assert (found(text, other) == "b/0") is stands
    [overlap] = find([problem(text)], [problem(other, "b/0")]) or [None]
    assert overlap is None or overlap.how == "same text but for a few words"


@pytest.mark.parametrize("text, other, stands", [
    ("In how many ways can the letters of PEPPER be put in a row?",
     "In how many ways can the letters of BANANA be put in a row?", False),
    ("4 cups go in 6 boxes: how many ways, if cups are not alike but boxes are?",
     "4 cups go in 6 boxes: how many ways, if cups are alike but boxes are not?", False),
    ("In the diagram, what is $AB$ if $AC = 7$?",
     "In the diagram, what is $AB$ if $AC = 7$? [asy] draw((0,0)--(7,0)); [/asy]", True),
    ("What is the area of the shaded figure?",
     "What is the area of the shaded figure? [asy] draw((0,0)--(7,0)); [/asy]", False),
])  # fmt: skip
def test_other_words_are_another_problem(text, other, stands):
    assert (found(text, other) == "b/0") is stands


def test_a_phrase_beside_a_manner_of_speaking_is_part_of_it():
    phrase = "can be written as a fraction of m and n without any common divisor"  # thirteen words
    rows = [problem(f"Sum {i} over {'x' * (i + 1)}. It {phrase}", f"r{i}") for i in range(12)]
    held = f"A cube is cut by many planes; the share below them {phrase} but one."
    assert found(f"Two trains meet at noon. The way {phrase} but one.", held, train=rows) is None
    near = f"A cube is cut by many planes; the share below them {phrase} but one, says Ann."
    assert found(near, held, train=rows) == "b/0"


def test_thirteen_words_at_every_place_are_found():
    """The look at every seventh place first must miss none."""
    words = [f"w{chr(97 + i)}" for i in range(13)]
    for before in range(20):
        for after in (0, 3):
            text = " ".join([*(f"x{chr(97 + i)}" for i in range(before)), *words, *["y"] * after])
            assert found(text, " ".join(["start", *words, "end"])) == "b/0", (before, after)
            assert found(text.replace("wg", "other"), " ".join(["start", *words, "end"])) is None


def test_a_manner_of_speaking_tells_nothing():
    phrase = "where m and n are relatively prime positive integers what is the value of m plus n"
    held = (
        f"The sum of the reciprocals of all divisors of {{}} times some factor can be written m/n, {phrase}"
    )
    rows = [
        problem(
            f"A ball falls {i} times from {i} metres, turns {i} times in the air, hits the ground, and rises "
            f"again to {i} halves of its height; the chance of that is m/n, {phrase}",
            f"r{i}",
        )
        for i in range(12)
    ]
    assert found(rows[0].prompt, held.format(6), train=rows[1:8]) == "b/0"
    assert found(rows[0].prompt, held.format(6), train=rows[1:]) is None
    assert found(held.format(6), held.format(6), train=rows) == "b/0"


def test_words_and_signs():
    assert Reading("It costs $1,250.50, or $\\frac{3}{4}$ of 2.5 kg!").words == tuple(
        ["it", "costs", "1250.50", "or", "3", "4", "of", "2.5", "kg"]
    )
    assert Reading("$x^{2}-1$").signs == ("x", "^", "2", "-", "1")


def mine(count=40, extra=()):
    texts = [f"question {i} about sheep number {i}" for i in range(count)]
    rows = [problem(text, f"mine/{i}") for i, text in enumerate([*texts, *extra])]
    return Memory("mine", rows, val_size=5, test_size=5)


class Set:
    """A benchmark, or one that can't be read."""

    def __init__(self, *texts):
        self.texts = texts

    def problems(self):
        if not self.texts:
            raise ConfigError("benchmark.b.path: no such file")
        return [problem(text, f"b/{i}") for i, text in enumerate(self.texts)]


def test_what_is_left_and_what_is_said():
    data = mine(extra=[LONG])
    assert LONG in {p.prompt for p in data.train}, "this test needs it among the training problems"
    clean = Decontaminator({"b": Set(LONG), "away": Set()})(data)
    assert len(clean.problems) == 30 and clean.checked == {"held-out problems": 10, "b": 1}
    said = " ".join(clean.describe())
    assert "1 training problems stand in held-out sets (1 in b)" in said
    assert "not compared with away (benchmark.b.path: no such file)" in said and "data.benchmarks_dir" in said
    off = Decontaminator({"b": Set(LONG)}, enabled=False)(data)
    assert len(off.problems) == 31 and not off.describe() and not off.checked


def test_the_own_test_set_counts():
    near = [f"{LONG} Then {word} happens, and how many are there?" for word in ("a", "b", "c", "d", "e", "f")]
    data = Memory("mine", [problem(t, f"mine/{i}") for i, t in enumerate(near)], val_size=1, test_size=1)
    assert len(Decontaminator({})(data).problems) == 0 and len(data.train) == 4


def test_a_source_made_from_templates_is_compared_with_benchmarks_only():
    assert Decontaminator({})(source()).checked == {}


def test_a_run_lists_them(tmp_path):
    module, data = sft_fit(tiny_policy())
    prompt = data.source.train[3].prompt
    data.decontaminate = Decontaminator({"b": Set(prompt)})
    trainer(tmp_path).fit(module, datamodule=data)
    (row,) = map(json.loads, (tmp_path / CONTAMINATED).read_text().splitlines())
    assert row["prompt"] == prompt and row["in"] == "b/0" and row["how"] == "same text"
    account = json.loads((tmp_path / FILE).read_text())
    assert account["left_out"]["in a held-out set"] == 1 and account["compared_with"] == {"b": 1}
    assert len(data._train) == 23 and "1 training problems stand in held-out sets" in data.describe()


def configured(*overrides):
    return composed(["algo=sft", *overrides, "output_dir=out"])


def test_the_configured_benchmarks_are_those_of_evaluation(tmp_path):
    cfg = configured("data=gsm8k", "data.path=x/y", f"data.benchmarks_dir={tmp_path}")
    decontaminate = instantiate(cfg.algo.datamodule.decontaminate)
    assert list(decontaminate.benchmarks) == ["gsm8k", "math500", "minerva", "amc"] and decontaminate.enabled
    assert all(
        isinstance(b, Benchmark) and b.folder == str(tmp_path) for b in decontaminate.benchmarks.values()
    )
    assert not instantiate(compose(tmp_path, "algo=grpo").algo.datamodule.decontaminate).enabled


def test_real_training_sets(real_data):
    folder = str(real_data("gsm8k").parent)
    cfg = configured("data=gsm8k", f"data.path={folder}/gsm8k", f"benchmarks_dir={folder}")
    clean = instantiate(cfg.algo.datamodule.decontaminate)(instantiate(cfg.data.source))
    assert not clean.unread and clean.checked["minerva"] == 272
    assert {overlap.problem.id for overlap in clean.overlaps} >= {"gsm8k/train/20", "gsm8k/train/1314"}
    assert len(clean.overlaps) < 20


def test_a_task_is_told_by_what_is_checked():
    """Numbers in another order are the same problem; other numbers in the same words are not."""

    def problem(id, prompt, numbers):
        return Problem(id, prompt, "", "", task={"numbers": sorted(numbers), "target": 9})

    held = [problem("b/0", "Numbers: [2, 3, 4]", [2, 3, 4])]
    train = [problem("t/0", "Use 4, 2 and 3.", [4, 2, 3]), problem("t/1", "Use 4, 2 and 5.", [4, 2, 5])]
    assert [(overlap.problem.id, overlap.other) for overlap in find(train, held)] == [("t/0", "b/0")]

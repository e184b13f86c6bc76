"""Every gold answer of the benchmark files is right however a completion states it, and no slip of it is."""

from collections import Counter

import pytest
from mutations import mutations

from igpo_lightning.data.sources.gsm8k import problem
from igpo_lightning.data.sources.tables import read_table
from igpo_lightning.rewards import Correctness, Verifier, extract
from igpo_lightning.types import Problem

STYLES = {
    "box": r"Thus $\boxed{%s}$.",
    "inline": r"Therefore, the answer is $%s$.",
    "bare": "The answer is: %s",
    "hashes": "6 * 12\n#### %s",
    "tag": "<reasoning>6 * 12</reasoning>\n<answer>\n%s\n</answer><|eot_id|>",
    "box in a tag": r"<reasoning>not \boxed{917}</reasoning><answer>\boxed{%s}</answer>",
    "bold": "So we are done.\n\n**$%s$**",
    "label": "**Answer:** $%s$",
    "bold label": "**Final Answer:** $%s$\n",
    "heading": "### Final Answer\n\n$$%s$$",
    "bold in a sentence": "The answer is **$%s$**. So we are done.",
    "code": "The answer is `%s`.",
    "aligned": "So we get\n\\[\\begin{aligned} %s \\end{aligned}\\]",
    "equation": "So we get\n\\begin{equation*}\n%s.\n\\end{equation*}",
    "display": "So we get\n\\[ %s \\]",
    "boxed display": "**Final Answer**\n\\[\n\\boxed{ \\displaystyle %s }.\n\\]",
    "nested": r"\boxed{\boxed{%s}}",
    "followed": r"So the result is $\boxed{%s}$. This completes the solution, as 2 + 2 = 4.",
    "after another": r"First we find $\boxed{917}$. The final answer is \(%s\).",
    "cut off": r"So it is $\boxed{%s}$. To check it: $\boxed{91",
}
UNIT = r"Thus $\boxed{%s \text{ units}}$."
COUNTS = {"gsm8k": 1319, "math500": 500, "amc": 83, "minerva": 272}


@pytest.fixture(scope="module")
def correctness():
    verifier = Verifier()
    judge = Correctness(verifier)
    yield lambda texts, answers: judge([Problem("", "", "", answer) for answer in answers], texts)
    verifier.close()


@pytest.fixture
def gold(real_data):
    """The gold answers of a benchmark, of which there are ``COUNTS``."""

    def answers(name):
        rows = read_table(str(real_data(name) / "test.jsonl"), key="path")
        if name == "gsm8k":
            found = [problem(row, name).answer for row in rows]
        elif name == "minerva":
            found = [extract(row.text("solution")) for row in rows]
        else:
            found = [row.text("answer", numbers=True) for row in rows]
        assert len(found) == COUNTS[name]
        return found

    return answers


def missed(correctness, style, answers):
    right = correctness([style.replace("%s", answer) for answer in answers], answers)
    return [answer for answer, verdict in zip(answers, right, strict=True) if not verdict]


@pytest.mark.parametrize("name", COUNTS)
def test_gold_answers_are_right_however_they_are_stated(gold, correctness, name):
    answers = gold(name)
    found = {style: missed(correctness, text, answers) for style, text in STYLES.items()}
    print(f"{name}: {sum(map(len, found.values()))} of {len(answers) * len(STYLES)} refused")
    assert {style: answers for style, answers in found.items() if answers} == {}


@pytest.mark.parametrize("name", COUNTS)
def test_a_number_may_have_a_unit(gold, correctness, name):
    numbers = [answer for answer in gold(name) if answer.replace(".", "").lstrip("-").isdigit()]
    assert len(numbers) > 50
    assert missed(correctness, UNIT, numbers) == []


@pytest.mark.parametrize("name", COUNTS)
def test_slips_are_wrong(gold, correctness, name):
    pairs = sorted({(answer, kind, wrong) for answer in gold(name) for kind, wrong in mutations(answer)})
    right = correctness([rf"\boxed{{{wrong}}}" for _, _, wrong in pairs], [answer for answer, _, _ in pairs])
    passed = [pair for pair, verdict in zip(pairs, right, strict=True) if verdict]
    print(
        f"{name}: {len(passed)} of {len(pairs)} slips passed; {dict(Counter(kind for _, kind, _ in pairs))}"
    )
    assert passed == []


@pytest.mark.parametrize("name", COUNTS)
def test_the_answer_of_another_row_is_wrong(gold, correctness, name):
    answers = gold(name)[:80]
    others = answers[7:] + answers[:7]
    right = correctness([rf"\boxed{{{answer}}}" for answer in others], answers)
    confused = [(a, b) for a, b, verdict in zip(others, answers, right, strict=True) if verdict and a != b]
    assert confused == []


def test_whole_numbers_stand_for_the_floats_of_amc(gold, correctness):
    answers = gold("amc")
    assert all(correctness([rf"\boxed{{{int(float(answer))}}}" for answer in answers], answers))
    assert not any(correctness([rf"\boxed{{{int(float(answer)) + 1}}}" for answer in answers], answers))

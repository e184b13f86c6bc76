"""Every gold answer of the benchmark files is right however a completion states it, and no other one is."""

import pytest

from igpo_lightning.data.sources.gsm8k import problem
from igpo_lightning.data.sources.tables import read_table
from igpo_lightning.rewards import Correctness, Verifier, extract

FORMS = (
    r"Thus $\boxed{%s}$.",
    r"<reasoning>6 * 12, not \boxed{%s} - 1</reasoning><answer>\boxed{%s}</answer>",
    "<reasoning>6 * 12</reasoning>\n<answer>\n%s\n</answer><|eot_id|>",
    "6 * 12\n#### %s",
    "The answer is: %s",
    r"\[\boxed{ \displaystyle %s }.\]",
)
COUNTS = {"gsm8k": 1319, "math500": 500, "amc": 83, "minerva": 272}


@pytest.fixture(scope="module")
def correctness():
    verifier = Verifier()
    yield Correctness(verifier)
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


@pytest.mark.parametrize("name", COUNTS)
def test_gold_answers_are_right_however_they_are_stated(gold, correctness, name):
    answers = gold(name)
    for form in FORMS:
        right = correctness([form.replace("%s", answer) for answer in answers], answers)
        assert [answer for answer, verdict in zip(answers, right, strict=True) if not verdict] == []


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

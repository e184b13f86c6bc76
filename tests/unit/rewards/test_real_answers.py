"""Every gold answer of the benchmark files, boxed into a completion, is found and equals itself."""

import itertools
import json

import pytest

from igpo_lightning.rewards import Verifier, extract


def gold_answers(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if path.parent.name == "minerva":
        return [extract(row["solution"]) for row in rows]
    return [str(row["answer"]) for row in rows]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("gsm8k", 1319),
        ("math500", 500),
        ("amc", 83),
        ("minerva", 272),
    ],
)
def test_gold_answers_verify_against_themselves(real_data, name, count):
    verifier = Verifier()
    answers = gold_answers(real_data(name) / "test.jsonl")
    assert len(answers) == count
    gold = [extract(a) if name == "gsm8k" else a for a in answers]
    missed = [a for a in gold if not verifier.equal(extract(rf"Thus $\boxed{{{a}}}$.") or "", a)]
    assert missed == []
    confused = [
        (a, b) for a, b in itertools.pairwise(gold[:120]) if "=" not in a + b and verifier.equal(a, b)
    ]
    assert [pair for pair in confused if pair[0] != pair[1]] == []

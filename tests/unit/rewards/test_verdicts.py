"""Verdicts on answers of every kind, written by hand; they need no benchmark file."""

import json
from pathlib import Path

import pytest

from igpo_lightning.rewards import Correctness, Verifier
from igpo_lightning.types import Problem

HERE = Path(__file__).parent / "verdicts"


def sections():
    """(stated, gold, verdict) of the lines under each heading of the tables."""
    for table in sorted(HERE.glob("*.txt")):
        for section in table.read_text(encoding="utf-8").split("\n## ")[1:]:
            heading, *lines = section.splitlines()
            yield pytest.param([line.rsplit(" | ", 2) for line in lines if line], id=heading)


@pytest.fixture(scope="module")
def verifier():
    verifier = Verifier()
    yield verifier
    verifier.close()


@pytest.mark.parametrize("pairs", sections())
def test_one_answer_or_two(verifier, pairs):
    assert len(pairs) > 5 and {verdict.strip() for _, _, verdict in pairs} == {"T", "F"}
    wrong = [p for p in pairs if verifier.equal(p[0].strip(), p[1].strip()) != (p[2].strip() == "T")]
    assert wrong == []


@pytest.mark.parametrize(("name", "least"), [("judged", 200), ("completions", 200), ("prose", 90)])
def test_verdicts_are_those_of_a_careful_person(verifier, name, least):
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= least
    right = Correctness(verifier)(
        [Problem("", "", "", row["gold"]) for row in rows], [row["completion"] for row in rows]
    )
    assert [row for row, verdict in zip(rows, right, strict=True) if bool(verdict) != row["right"]] == []

"""The published data sets in their real form, from small files made here."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources import Gsm8k, Math, MetaMath, OpenR1
from igpo_lightning.data.sources.base import HELD_OUT
from igpo_lightning.data.traces import answer_spans
from igpo_lightning.types import Problem


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows))
    return str(path)


# ---------------------------------------------------------------- MetaMathQA


def meta(query, response="6 * 7 = 42\nThe answer is: 42", type="GSM_AnsAug", original=None):
    return {"type": type, "query": query, "original_question": original or query, "response": response}


def test_metamath_keeps_the_first_good_answer_to_a_query(tmp_path):
    rows = [
        meta("a", "I don't know."),
        meta("a", "The answer is: 1? No. \\frac{1}{2} = 0.5.\nThe answer is: \\frac{1}{2}", "MATH_AnsAug"),
        meta("a", "another\nThe answer is: 2"),
        meta("b", "hm\nThe answer is: "),
        meta("c", type="GSM_Rephrased"),
        meta("d"),
    ]
    source = MetaMath(write(tmp_path / "MetaMathQA-395K.json", rows), val_size=0, test_size=0)
    assert source.dropped == {"no answer": 2, "repeated question": 1, "another type": 1}
    first, last = source.train
    assert first == Problem(
        "metamath/1",
        "a",
        rows[1]["response"],
        "\\frac{1}{2}",
        {"type": "MATH_AnsAug", "original_question": "a"},
    )
    assert (last.id, last.answer) == ("metamath/5", "42")
    for problem in source.train:
        assert answer_spans(problem.trace, problem.answer).spans
    assert len(MetaMath(str(tmp_path), types=None, val_size=0, test_size=0).train) == 3


def test_metamath_holds_out_original_questions_with_all_their_variants(tmp_path):
    rows = [meta(f"{i}, variant {v}", original=f"{i}", type="GSM_Rephrased") for i in range(20) for v in "ab"]
    source = MetaMath(write(tmp_path / "m.json", rows), types=["GSM_Rephrased"], val_size=0, test_size=5)
    train, heldout = ({p.meta["original_question"] for p in part} for part in (source.train, source.test))
    assert len(heldout) == 5 and len(source.test) == 5 and not train & heldout


def test_metamath_bad_input(tmp_path):
    path = write(tmp_path / "m.json", [meta("a"), {"query": "b", "type": "GSM_AnsAug"}])
    with pytest.raises(ConfigError, match=r"m.json: item 2: no field 'response'"):
        MetaMath(path, on_bad_row="error")
    with pytest.raises(ConfigError, match=r"types=\[AnsAug\]: no row is left; the types are \[GSM_AnsAug\]"):
        MetaMath(write(tmp_path / "m.json", [meta("a")]), types=["AnsAug"])


# ---------------------------------------------------------------- OpenR1-Math-220k

LONG = "<think>\nWell, 40 + 2.\n</think>\n\nIt is $\\boxed{42}$."
ROW = {
    "problem": "6 * 7?", "solution": "Multiply: \\boxed{42}.", "answer": "42", "problem_type": "Algebra",
    "question_type": "math-word-problem", "source": "olympiads", "uuid": "u1",
    "is_reasoning_complete": [False, True, True, True], "generations": ["cut", "wrong", LONG, "late"],
    "correctness_math_verify": [True, False, True, True], "correctness_llama": None,
    "finish_reasons": ["length", "stop", "stop", "stop"], "correctness_count": 2,
    "messages": [{"role": "user", "content": "6 * 7?"}],
}  # fmt: skip


def open_r1(tmp_path, *changes, **options):
    path = write(tmp_path / "data" / "train-00000-of-00001.parquet", [{**ROW, **c} for c in changes])
    assert path
    return OpenR1(str(tmp_path), val_size=0, test_size=0, **options)


def test_openr1_takes_the_first_generation_that_is_complete_and_correct(tmp_path):
    judged = {"correctness_math_verify": [False] * 4, "correctness_llama": [True, False, False, True]}
    source = open_r1(tmp_path, {}, {**judged, "problem": "other"})
    assert source.train[0] == Problem(
        "openr1/0",
        "6 * 7?",
        "Well, 40 + 2.\n\nIt is $\\boxed{42}$.",
        "42",
        {
            "problem_type": "Algebra",
            "question_type": "math-word-problem",
            "source": "olympiads",
            "uuid": "u1",
        },
    )
    assert source.train[1].trace == "late" and source.dropped == {}


def test_openr1_drops_and_counts(tmp_path):
    wrong = {"correctness_math_verify": [False] * 4}
    changes = [
        {},
        {},
        {"answer": "proof"},
        {"answer": None},
        {**wrong, "problem": "w"},
        {"generations": None},
    ]
    source = open_r1(tmp_path, *changes)
    assert len(source.train) == 1
    assert source.dropped == {"repeated question": 1, "no answer": 2, "no correct generation": 2}
    human = open_r1(tmp_path, {}, {"solution": None, "problem": "s"}, wrong, trace="solution")
    assert [p.trace for p in human.train] == ["Multiply: \\boxed{42}."]
    assert human.dropped == {"no solution": 1, "repeated question": 1}


def test_openr1_bad_input(tmp_path):
    with pytest.raises(ConfigError, match=r"data.source.trace=cot: expected generation or solution"):
        open_r1(tmp_path, {}, trace="cot")
    with pytest.raises(ConfigError, match=r"row 1: field 'generations' must be a list, got str"):
        open_r1(tmp_path, {"generations": "one"})
    with pytest.raises(ConfigError, match=r"no row is left; left out: 1 no answer$"):
        open_r1(tmp_path, {"answer": "proof"})


# ---------------------------------------------------------------- GSM8K and MATH as the hub has them


def test_gsm8k_as_a_snapshot_of_the_hub(tmp_path):
    rows = [
        {"question": f"q{i}", "answer": f"{i}+1=<<{i}+1={i + 1}>>{i + 1}\n#### {i + 1}"} for i in range(5)
    ]
    write(tmp_path / "main" / "train-00000-of-00001.parquet", rows[:4])
    write(tmp_path / "main" / "test-00000-of-00001.parquet", rows[3:])
    write(tmp_path / "socratic" / "train-00000-of-00001.parquet", rows)
    source = Gsm8k(str(tmp_path), val_size=0)
    assert [p.id for p in source.train] == ["gsm8k/train/0", "gsm8k/train/1", "gsm8k/train/2"]
    assert [p.answer for p in source.test] == ["4", "5"] and source.dropped == {HELD_OUT: 1}


def test_math_as_a_snapshot_of_the_hub(tmp_path):
    def rows(subject, count):
        return [
            {
                "problem": f"{subject} {i}",
                "level": "Level 2",
                "type": subject,
                "solution": f"So \\boxed{{{i}}}.",
            }
            for i in range(count)
        ]

    bad = {**rows("Geometry", 1)[0], "solution": "It is left to the reader."}
    write(tmp_path / "algebra" / "train-0.parquet", rows("Algebra", 3))
    write(tmp_path / "geometry" / "train-0.parquet", [bad, *rows("Geometry", 2)])
    source = Math(str(tmp_path), configs=["algebra", "geometry"], val_size=0, test_size=1)
    everything = {p.id: p for p in (*source.train, *source.test)}
    assert len(everything) == 5 and source.dropped == {"no answer": 1}
    assert everything["math/geometry/2"] == Problem(
        "math/geometry/2", "Geometry 1", "So \\boxed{1}.", "1", {"subject": "geometry", "level": "2"}
    )
    one = write(tmp_path / "one" / "train.parquet", rows("Counting & Probability", 3))
    assert (
        Math(one, configs=["algebra"], val_size=0, test_size=0).train[2].id
        == "math/counting_and_probability/2"
    )

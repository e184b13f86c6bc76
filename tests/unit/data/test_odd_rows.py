"""Rows that can't be used: counted in public tables, named by file and line in one's own."""

import csv
import json
import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import Gsm8k, Math, MetaMath, OpenR1, Table
from igpo_lightning.data.tokenizers import MASK, train_bpe

SIZES = {"val_size": 0, "test_size": 0}
GOOD = {"prompt": "How many?", "trace": "So \\boxed{5}.", "answer": "5"}


def lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def parquet(path, rows, **types):
    table = pa.Table.from_pylist(rows)
    for name, kind in types.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array([row[name] for row in rows], kind))
    pq.write_table(table, path)
    return str(path)


def table(path, rows):
    """A file of these rows, of the kind that its name says."""
    if path.suffix == ".parquet":
        return parquet(path, rows)
    if path.suffix == ".jsonl":
        return lines(path, "", *rows)
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            written = csv.DictWriter(file, rows[0])
            written.writeheader()
            written.writerows(rows)
        else:
            json.dump(rows, file)
    return str(path)


ODD = [
    ({"answer": None}, "no answer"),
    ({"answer": " "}, "no answer"),
    ({"answer": float("nan")}, "answer is no number"),
    ({"answer": float("-inf")}, "answer is no number"),
    ({"answer": ["8"]}, "answer of another type"),
    ({"answer": False}, "answer of another type"),
    ({"answer": {"value": 8}}, "answer of another type"),
    ({"answer": "Proof"}, "no answer"),
    ({"answer": "NotFound"}, "no answer"),
    ({"answer": "9" * 1001}, "answer too long"),
    ({"prompt": None}, "no prompt"),
    ({"prompt": "\t\n"}, "no prompt"),
    ({"prompt": 8}, "prompt of another type"),
    ({"prompt": "half \ud83d of it"}, "prompt is no text"),
    ({"trace": ["step"]}, "trace of another type"),
    ({"trace": "\udc00"}, "trace is no text"),
]


@pytest.mark.parametrize("odd, reason", ODD)
def test_a_public_table_counts_them_and_goes_on(tmp_path, odd, reason):
    path = lines(tmp_path / "a.jsonl", GOOD, {**GOOD, **odd}, {**GOOD, "prompt": "How few?"})
    source = Table(path, on_bad_row="drop", **SIZES)
    assert [p.prompt for p in source.train] == ["How many?", "How few?"] and source.dropped == {reason: 1}


@pytest.mark.parametrize("odd", [odd for odd, _ in ODD if odd.get("answer") not in ("Proof", "NotFound")])
def test_ones_own_file_is_strict(tmp_path, odd):
    path = lines(tmp_path / "a.jsonl", GOOD, "", {**GOOD, **odd})
    with pytest.raises(ConfigError, match=r"a\.jsonl:3: ") as caught:
        Table(path, on_bad_row="error", **SIZES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, place", [
    ("own.jsonl", "own.jsonl:4"), ("own.json", "own.json: item 3"), ("own.csv", "own.csv:4"),
    ("own.parquet", "own.parquet: row 3"),
])  # fmt: skip
@pytest.mark.parametrize("odd, options, message", [
    ({"trace": "So be it."}, {}, "the trace has no final answer"),
    ({"trace": "So \\boxed{4}."}, {}, "the trace says '4' last"),
    ({"trace": ""}, {"hints": False, "targets": True}, "it has no trace"),
    ({"trace": "So so so so so \\boxed{5}."}, {"max_response": 14}, "the trace has"),
    ({"prompt": "How many, many, many?"}, {"max_prompt": 14}, "the prompt has"),
    ({"prompt": f"How {MASK}?"}, {}, "its text contains the mask token"),
])  # fmt: skip
def test_a_row_that_cannot_be_encoded_is_named_by_its_place_in_the_file(
    tmp_path, name, place, odd, options, message
):
    rows = [GOOD, {**GOOD, "prompt": "How few?"}, {**GOOD, **odd}]
    source = Table(table(tmp_path / name, rows), name="mine", **SIZES)
    encoder = Encoder(train_bpe(["How many?"], 259), **{"max_response": 99, **options})
    named = f"{tmp_path / place}: problem mine/train/2: {message}"
    with pytest.raises(ConfigError, match="^" + re.escape(named)):
        encoder.encode_all(source.train)


def test_the_place_of_a_row_tells_no_problems_apart(tmp_path):
    one, other = (Table(lines(tmp_path / name, GOOD), **SIZES).train for name in ("a.jsonl", "b.jsonl"))
    assert one == other and one[0].where != other[0].where and "jsonl" not in repr(one)
    encoder = Encoder(train_bpe(["How many?"], 259))
    assert encoder._key(one) == encoder._key(other)


def test_a_number_that_python_cannot_hold(tmp_path):
    row = '{"prompt": "a", "trace": "#### 7", "answer": ' + "7" * 5000 + "}"
    path = lines(tmp_path / "a.jsonl", GOOD, row)
    with pytest.raises(ConfigError, match=r"a\.jsonl:2: field 'answer' is a number of 5,000 digits"):
        Table(path, **SIZES)
    assert Table(path, on_bad_row="drop", **SIZES).dropped == {"answer too long": 1}


@pytest.mark.parametrize(
    "value, kind, text",
    [
        (Decimal("12.50"), pa.decimal128(6, 2), "12.5"),
        (Decimal("1200"), pa.decimal128(6, 0), "1200"),
        (Decimal("0.00"), pa.decimal128(6, 2), "0"),
        (Decimal("-3.10"), pa.decimal256(40, 2), "-3.1"),
        (18.0, pa.float32(), "18"),
        (0.25, pa.float64(), "0.25"),
        (7, pa.int16(), "7"),
    ],
)
def test_numbers_of_all_kinds_are_read(tmp_path, value, kind, text):
    path = parquet(tmp_path / "a.parquet", [{**GOOD, "answer": value}], answer=kind)
    assert Table(path, **SIZES).train[0].answer == text


def test_a_table_without_any_good_row_is_refused_with_its_first_fault(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"question": "a"}, {"question": "b"})
    wanted = r"a\.jsonl:1: no field 'prompt'; .*; no row is left; left out: 2 no prompt$"
    with pytest.raises(ConfigError, match=wanted):
        Table(path, on_bad_row="drop", **SIZES)
    with pytest.raises(ConfigError, match=r"data.on_bad_row=ignore: expected one of error, drop"):
        Table(path, on_bad_row="ignore", **SIZES)


def test_an_answer_that_the_trace_alone_tells(tmp_path):
    rows = [{"problem": "a", "solution": "so $\\boxed{1}$."}, {"problem": "b", "solution": "it is left open"}]
    columns = {"prompt": "problem", "trace": "solution", "answer": None}
    source = Table(lines(tmp_path / "a.jsonl", *rows), columns=columns, on_bad_row="drop", **SIZES)
    assert [p.answer for p in source.train] == ["1"] and source.dropped == {"no answer": 1}


def test_metamath_holds_out_by_the_query_where_no_original_is_named(tmp_path):
    def row(query, **changes):
        made = {"query": query, "response": "It is 5.\nThe answer is: 5", "type": "MATH_AnsAug"}
        return {**made, "original_question": query, **changes}

    rows = [row("a"), row("b", original_question=None), row("c", original_question=" "), row("d", type=None)]
    rows += [row("e", response="It is 5."), row("f", response="The answer is: ")]
    rows += [row("a", response="x\nThe answer is: 6")]
    source = MetaMath(lines(tmp_path / "m.jsonl", *rows), types=None, **SIZES)
    assert [p.prompt for p in source.train] == ["a", "b", "c"], "one row for each query, the first"
    assert [p.meta["original_question"] for p in source.train] == ["a", "b", "c"]
    assert source.dropped == {
        "no type": 1,
        "no answer": 2,
        "repeated question": 1,
    }


def test_the_published_sets_count_theirs(tmp_path):
    gsm = [{"question": "a", "answer": "so\n#### 5"}, {"question": "b", "answer": "so 5"}, {"question": None}]
    source = Gsm8k(lines(tmp_path / "g.jsonl", *gsm), **SIZES)
    assert len(source.train) == 1 and source.dropped == {"no answer": 2}
    math = [
        {"problem": "a", "solution": "\\boxed{5}", "level": "Level 3", "type": "Algebra"},
        {"problem": "b", "solution": None, "level": "Level 3", "type": "Algebra"},
        {"problem": None, "solution": "\\boxed{5}"},
    ]
    source = Math(lines(tmp_path / "m.jsonl", *math), **SIZES)
    assert [p.meta for p in source.train] == [{"subject": "algebra", "level": "3"}]
    assert source.dropped == {"no answer": 1, "no problem": 1}
    openr1 = [
        {"problem": "a", "answer": "5", "solution": "s"},
        {"problem": "b", "answer": "NotFound", "solution": "s"},
        {"problem": "c", "answer": 6, "solution": "s"},
        {"problem": "d", "answer": "7", "solution": 7},
    ]
    source = OpenR1(lines(tmp_path / "o.jsonl", *openr1), trace="solution", **SIZES)
    assert [p.answer for p in source.train] == ["5", "6"]
    assert source.dropped == {"no answer": 1, "solution of another type": 1}


def test_rows_of_question_and_answer_alone(tmp_path):
    rows = [{"prompt": "a", "answer": 5}, {"prompt": "b", "answer": 6, "trace": None}, {**GOOD, "trace": ""}]
    source = Table(lines(tmp_path / "a.jsonl", *rows), **SIZES)
    assert [(p.trace, p.answer) for p in source.train] == [("", "5"), ("", "6"), ("", "5")]
    without = Table(lines(tmp_path / "b.jsonl", GOOD), columns={"trace": None}, **SIZES)
    assert without.train[0].trace == "" and without.train[0].meta == {"trace": GOOD["trace"]}

import importlib
import json

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources import Gsm8k, GsmSymbolic, Math, Table
from igpo_lightning.data.sources.base import HELD_OUT, subset
from igpo_lightning.data.sources.gsm_symbolic import rationale_fault
from igpo_lightning.types import Problem

ROW = {"prompt": "1 + 1 ?", "trace": "1 + 1 = 2 #### 2", "answer": "2"}


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def many(count, **fixed):
    return [{**ROW, "prompt": f"question {i}", **fixed} for i in range(count)]


# ---------------------------------------------------------------- any table


def test_a_table_that_is_not_there_is_named_by_its_setting(tmp_path):
    with pytest.raises(ConfigError, match=r"^data\.train_path=.*absent\.jsonl: no such file"):
        Table(str(tmp_path / "absent.jsonl"), key="data.train_path")


def test_table_reads_mapped_columns_and_keeps_the_rest_as_meta(tmp_path):
    row = {"q": " 1 + 1 ? ", "steps": "#### 2", "result": 2, "level": 3, "tags": ["a"]}
    rows = [row, "", {**row, "q": "other"}]
    train = write(tmp_path / "a.jsonl", *rows, {**row, "q": "third"})
    columns = {"prompt": "q", "trace": "steps", "answer": "result"}
    source = Table(train, write(tmp_path / "b.jsonl", *rows), columns=columns, name="mine", val_size=0)
    assert source.test == (
        Problem("mine/heldout/0", "1 + 1 ?", "#### 2", "2", {"level": 3}),
        Problem("mine/heldout/1", "other", "#### 2", "2", {"level": 3}),
    )
    assert [p.id for p in source.train] == ["mine/train/2"] and source.dropped == {HELD_OUT: 2}


@pytest.mark.parametrize("rows, sizes, message", [
    (9, {"val_size": 4}, "9 of the 11 training rows stand in it, too, and so only 2 are left to train"),
    (11, {"val_size": 4}, "11 of the 11 training rows stand in it, too, and so only 0 are left"),
    (11, {"val_size": 0}, "11 of the 11 training rows stand in it, too"),
])  # fmt: skip
def test_training_rows_that_are_held_out_are_told_and_not_called_too_few(tmp_path, rows, sizes, message):
    train, held = (write(tmp_path / f"{n}.jsonl", *many(n)) for n in (11, rows))
    with pytest.raises(ConfigError, match=rf"^data\.heldout_path={held}: {message}"):
        Table(train, held, **sizes)
    write(tmp_path / "train.jsonl", *many(11))
    write(tmp_path / "test.jsonl", *many(rows))
    with pytest.raises(ConfigError, match=rf"^data\.heldout_split=test: {message}"):
        Table(str(tmp_path), heldout_split="test", **sizes)


def test_table_split_is_disjoint_deterministic_and_free_of_row_order(tmp_path):
    rows = [*many(100), *many(10)]  # ten prompts twice
    forward = Table(write(tmp_path / "a.jsonl", *rows), val_size=10, test_size=30)
    backward = Table(write(tmp_path / "b.jsonl", *rows[::-1]), val_size=10, test_size=30)
    parts = [[p.prompt for p in part] for part in (forward.train, forward.val, forward.test)]
    assert [len(set(part)) for part in parts] == [60, 10, 30] and len(parts[1] + parts[2]) == 40
    assert len({*parts[0], *parts[1], *parts[2]}) == 100
    assert [p.prompt for p in backward.val] == parts[1] and [p.prompt for p in backward.test] == parts[2]
    assert {p.prompt for p in backward.train} == set(parts[0])
    assert len(forward.train) + forward.dropped.get(HELD_OUT, 0) == 110 - 40
    other = Table(write(tmp_path / "a.jsonl", *rows), val_size=10, test_size=30, split_seed=1)
    assert other.test != forward.test
    assert list(forward.corpus()) == [text for p in forward.train for text in (p.prompt, p.trace)]


def test_a_table_with_splits_and_answers_that_only_the_trace_tells(tmp_path):
    rows = [{"prompt": f"question {i}", "trace": f"So it is \\boxed{{{i}}}."} for i in range(6)]
    write(tmp_path / "train.jsonl", *rows)
    write(tmp_path / "test.jsonl", *rows[4:], {"prompt": "new", "trace": "The answer is 5."})
    source = Table(str(tmp_path), heldout_split="test", val_size=0, test_size=None, columns={"answer": None})
    assert [p.answer for p in source.train] == ["0", "1", "2", "3"]
    assert [(p.id, p.answer) for p in source.test][-1] == ("table/heldout/2", "5")
    assert source.dropped == {HELD_OUT: 2}
    same = Table(str(tmp_path), heldout_path=str(tmp_path), columns={"answer": None}, val_size=0)
    assert same.test == source.test


def test_a_smaller_subset_is_part_of_a_larger_one(tmp_path):
    problems = Table(write(tmp_path / "a.jsonl", *many(100)), val_size=0, test_size=0).train
    small, large = subset(problems, 10, seed=0), subset(problems, 40, seed=0)
    assert len(small) == 10 and len(large) == 40
    assert [p for p in large if p in small] == small
    assert [p for p in problems if p in large] == large
    assert subset(problems, None, 0) == subset(problems, 1000, 0) == list(problems)


@pytest.mark.parametrize(
    "bad, message",
    [
        ('{"prompt": "x", ', "a.jsonl:2: malformed JSON"),
        ("[1, 2]", "a.jsonl:2: expected a JSON object, got list"),
        ("[" * 100_000, "a.jsonl:2: malformed JSON"),
        ({"prompt": "x", "trace": "y"}, "a.jsonl:2: no field 'answer'; the fields are 'prompt', 'trace'"),
        ({**ROW, "trace": ["y"]}, "a.jsonl:2: field 'trace' must be a text, got list"),
        ({**ROW, "trace": "  "}, "a.jsonl:2: field 'trace' is empty"),
        ({**ROW, "prompt": 7}, "a.jsonl:2: field 'prompt' must be a text, got int"),
        ({**ROW, "answer": None}, "a.jsonl:2: field 'answer' must be a text or a number, got null"),
        ({**ROW, "answer": True}, "a.jsonl:2: field 'answer' must be a text or a number, got bool"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path, bad, message):
    path = write(tmp_path / "a.jsonl", ROW, bad)
    with pytest.raises(ConfigError) as caught:
        Table(path, val_size=0, test_size=0)
    assert message in str(caught.value)


def test_bad_files_and_settings(tmp_path):
    good = write(tmp_path / "a.jsonl", *many(5))
    (tmp_path / "latin.jsonl").write_bytes(b'{"prompt": "\xff"}')
    for arguments, message in [
        (dict(path=str(tmp_path / "none.jsonl")), "data.path="),
        (dict(path=good, heldout_path=str(tmp_path / "none.jsonl")), "data.heldout_path="),
        (
            dict(path=str(tmp_path), split="dev"),
            "no .jsonl, .json, .parquet, .csv file with 'dev' in its name",
        ),
        (dict(path=str(tmp_path / "latin.jsonl")), "not UTF-8"),
        (dict(path=write(tmp_path / "empty.jsonl")), "no rows"),
        (dict(path=good, val_size=0, test_size=5), "data.test_size=5: the data has only 5 different"),
        (dict(path=good, val_size=2, test_size=3), "data.val_size=2: the data has only 2 different"),
        (dict(path=good, val_size=0, test_size=None), "data.test_size=null: expected a whole number"),
        (dict(path=good, train_size=-1), "data.source.train_size"),
        (dict(path=good, columns={"question": "q"}), "data.source.columns: unknown part 'question'"),
        (dict(path=good, columns={"prompt": None}), "data.source.columns.prompt=None: expected the name of"),
        (dict(path=good, columns={"trace": None, "answer": None}), "with neither a trace nor an answer"),
        (dict(path=good, columns={"answer": None, "trace": "prompt"}), "'prompt' states no final answer"),
    ]:
        with pytest.raises(ConfigError) as caught:
            Table(**arguments)
        assert message in str(caught.value)


# ---------------------------------------------------------------- GSM8K


def gsm8k_row(i, answer="She has 6*200 = $<<6*200=1200>>1,200.\n#### 1,200"):
    return {"question": f"question {i}", "answer": answer}


def test_gsm8k_folder(tmp_path):
    write(tmp_path / "train.jsonl", *map(gsm8k_row, range(5)))
    write(tmp_path / "test.jsonl", *map(gsm8k_row, range(4, 7)))
    source = Gsm8k(str(tmp_path), val_size=0)
    assert source.train[3] == Problem(
        "gsm8k/train/3", "question 3", "She has 6*200 = $1,200.\n#### 1,200", "1200"
    )
    assert [p.id for p in source.test] == ["gsm8k/test/0", "gsm8k/test/1", "gsm8k/test/2"]
    assert len(source.train) == 4 and source.dropped == {HELD_OUT: 1}
    sized = Gsm8k(str(tmp_path), train_size=2, val_size=0, test_size=1)
    assert (len(sized.train), len(sized.test)) == (2, 1)


def test_gsm8k_single_file_is_split(tmp_path):
    source = Gsm8k(write(tmp_path / "train.jsonl", *map(gsm8k_row, range(20))), val_size=0, test_size=5)
    assert (len(source.train), len(source.test)) == (15, 5)


def test_gsm8k_bad_input(tmp_path):
    write(tmp_path / "train.jsonl", gsm8k_row(0), gsm8k_row(1, "no mark"))
    with pytest.raises(ConfigError, match=r"data\.path="):
        Gsm8k(str(tmp_path / "none"))
    with pytest.raises(
        ConfigError, match=r"train.jsonl:2: field 'answer' must end in a line '#### <number>'"
    ):
        Gsm8k(str(tmp_path), on_bad_row="error")
    write(tmp_path / "train.jsonl", gsm8k_row(0))
    with pytest.raises(ConfigError, match=r"data.path=.*'test' in its name"):
        Gsm8k(str(tmp_path))


def test_real_gsm8k(real_data):
    source = Gsm8k(str(real_data("gsm8k")), val_size=100, test_size=None)
    assert (len(source.train), len(source.val), len(source.test)) == (7373, 100, 1319)
    assert source.train[0].trace.endswith("48+24 = 72 clips altogether in April and May.\n#### 72")
    assert not any("<<" in p.trace or ">>" in p.trace for p in source.train)


# ---------------------------------------------------------------- MATH


def math_items(count, label="7"):
    return [
        {"input": f"problem {i}", "process": f"So \\boxed{{{label}}}.", "label": label} for i in range(count)
    ]


def test_math_folder(tmp_path):
    (tmp_path / "train_algebra_.json").write_text(json.dumps(math_items(3)))
    geometry = [{**item, "input": "g" + item["input"]} for item in [*math_items(3), *math_items(1, "")]]
    (tmp_path / "train_geometry_.json").write_text(json.dumps(geometry))
    source = Math(str(tmp_path), val_size=0, test_size=2)
    assert (len(source.train), len(source.test)) == (4, 2) and source.dropped == {"no answer": 1}
    everything = {p.id: p for p in [*source.train, *source.test]}
    assert everything["math/geometry/2"] == Problem(
        "math/geometry/2", "gproblem 2", "So \\boxed{7}.", "7", {"subject": "geometry"}
    )


def test_math_bad_input(tmp_path):
    with pytest.raises(ConfigError, match=r"data.path=.*no .* file with 'train' in its name"):
        Math(str(tmp_path))
    file = tmp_path / "train_x.json"
    for text, message in [
        ('{"input": 7}', r"train_x.json: expected a list"),
        ("[\n{},\n{]", r"train_x.json:3: malformed JSON"),
        ("[7]", r"train_x.json: item 1: expected a JSON object"),
        (json.dumps([{"process": "a", "label": "7"}]), r"train_x.json: item 1: no field 'problem'"),
    ]:
        file.write_text(text)
        with pytest.raises(ConfigError, match=message):
            Math(str(tmp_path))


def test_real_math(real_data):
    source = Math(str(real_data("math_train")))
    parts = (source.train, source.val, source.test)
    assert [len(part) for part in parts] == [6856, 128, 512] and source.dropped == {"no answer": 2}
    assert len({p.prompt for part in parts for p in part}) == 7496


# ---------------------------------------------------------------- gsm_symbolic


@pytest.mark.parametrize(
    "trace, fault",
    [
        ("160 x 30% = 48, 160-48=112, 112*5=560\n#### 560", None),
        ("It is 10 / 20 = 50%.\n#### 560", None),
        ("15/45 = 1/3 of it, 7 x 0.5 = 3.5, 3 + 4 x 2 = 11\n#### 560.0", None),
        ("That is $1,200 + 300 = $1,500\n#### 560", None),
        ("James receives 48=48 emails\n#### 560", "equation without a left side"),
        ("He pays 0.30000000000000004\n#### 560", "unrounded number"),
        ("so that's 0.89*80 = 71 students\n#### 560", "false equation"),
        ("5 / 0 = 3\n#### 560", "false equation"),
        ("160-48=112\n#### 561", "another answer at the end"),
    ],
)
def test_faults_of_generated_rationales(trace, fault):
    assert rationale_fault(trace, "560") == fault


def test_gsm_symbolic():
    pytest.importorskip("reasoning_gym")
    source = GsmSymbolic(train_size=300, val_size=15, test_size=60)
    again = GsmSymbolic(train_size=300, val_size=15, test_size=60)
    assert source.train == again.train and source.test == again.test
    assert (len(source.train), len(source.val), len(source.test)) == (300, 15, 60) and sum(
        source.dropped.values()
    ) > 0
    other = GsmSymbolic(train_size=300, val_size=15, test_size=60, split_seed=1)
    train = {p.prompt for p in (*source.train, *other.train)}
    val, test = ({p.prompt for s in (source, other) for p in getattr(s, part)} for part in ("val", "test"))
    assert not train & val and not train & test and not val & test and len(train) > 590
    assert source.train[17].id == "gsm_symbolic/train/17"


def test_gsm_symbolic_without_its_package(monkeypatch):
    def refuse(name, *_):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(ConfigError, match=r"pip install 'igpo-lightning\[tasks\]'"):
        GsmSymbolic(train_size=1, val_size=0, test_size=1)

import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.tables import iter_table, read_table

ROWS = [{"q": "a", "n": 1, "parts": ["x"]}, {"q": "b", "n": 2, "parts": []}]


def read(path, **options):
    return read_table(str(path), key="data.path", **options)


def fields(rows):
    return [dict(row.fields) for row in rows]


def write(path, rows=ROWS, lines=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return path


@pytest.mark.parametrize("name, lines", [
    ("a.jsonl", True), ("a.json", False), ("a.json", True), ("a.parquet", False),
])  # fmt: skip
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name, lines):
    rows = read(write(tmp_path / name, lines=lines))
    assert fields(rows) == ROWS and [row.index for row in rows] == [0, 1]
    assert all(name in row.where and "2" in rows[1].where for row in rows)


def test_a_folder_is_read_by_split_and_rows_are_counted_over_its_files(tmp_path):
    write(tmp_path / "train-00000.parquet", ROWS[:1])
    write(tmp_path / "train-00001.parquet", ROWS[1:])
    write(tmp_path / "test.jsonl", [{"q": "t"}])
    (tmp_path / "README.md").write_text("no table")
    rows = read(tmp_path)
    assert fields(rows) == ROWS and [row.index for row in rows] == [0, 1]
    assert rows[1].where.endswith("train-00001.parquet: row 1")
    assert fields(read(tmp_path, split="test")) == [{"q": "t"}]
    with pytest.raises(ConfigError, match=r"data.path=.*no .* file with 'dev' in its name"):
        read(tmp_path, split="dev")


def test_a_snapshot_of_a_hub_repository(tmp_path):
    write(tmp_path / "data" / "train-0.parquet")
    write(tmp_path / "extended" / "train-0.parquet", [{"q": "e"}])
    assert fields(read(tmp_path)) == ROWS
    assert fields(read(tmp_path, config="extended")) == [{"q": "e"}]
    write(tmp_path / "one" / "MetaMathQA-395K.json", lines=False)
    (tmp_path / "one" / "dataset_infos.json").write_text("{}")
    assert fields(read(tmp_path / "one")) == ROWS, "no name tells a split: all is for training"
    with pytest.raises(ConfigError, match="'test' in its name"):
        read(tmp_path / "one", split="test")


def test_a_file_of_just_the_name_of_the_split_comes_first(tmp_path):
    write(tmp_path / "train.jsonl")
    write(tmp_path / "train_socratic.jsonl", [{"q": "other"}])
    assert fields(read(tmp_path)) == ROWS


def test_columns_can_be_left_out(tmp_path):
    file = write(tmp_path / "a.parquet")
    rows = iter_table(str(file), key="data.path", columns=("q", "absent"))
    assert fields(rows) == [{"q": "a"}, {"q": "b"}]


@pytest.mark.parametrize("name, content, message", [
    ("a.jsonl", b'{"q": 1}\n{', "a.jsonl:2: malformed JSON"),
    ("a.jsonl", b"", "holds no rows"),
    ("a.json", b"[]", "holds no rows"),
    ("a.json", b"7", "expected a list of JSON objects"),
    ("a.jsonl.gz", b"\x1f\x8b", ".csv file or a folder of them; unpack it first"),
    ("a.parquet", b"PAR1 not really", "a.parquet: can't be read as parquet"),
    ("a.txt", b"q\n1\n", "expected a .jsonl, .json, .parquet, .csv file or a folder"),
])  # fmt: skip
def test_bad_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_list_over_several_lines_is_read(tmp_path, name):
    (tmp_path / name).write_text("\n" + json.dumps(ROWS, indent=1))
    rows = read(tmp_path / name)
    assert fields(rows) == ROWS and rows[1].where.endswith(f"{name}: item 2")
    (tmp_path / name).write_text(json.dumps(ROWS, indent=1) + "\n{}")
    with pytest.raises(ConfigError, match=rf"{name}:\d+: malformed JSON, Extra data"):
        read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("value, under", [
    ({"version": 1, "data": ROWS}, " with a list under 'data'; save that alone"),
    ({"train": ROWS, "test": []}, " with a list under 'train' and under 'test'; save that alone"),
    (ROWS[0] | {"parts": "x"}, ""),
])  # fmt: skip
@pytest.mark.parametrize("again", [1, 2])
def test_an_object_over_several_lines_is_named_with_its_list(tmp_path, name, value, under, again):
    (tmp_path / name).write_text("\n".join([json.dumps(value, indent=4)] * again))
    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name)
    due = "expected a list of JSON objects, or one object a line; got an object over several lines"
    assert str(caught.value) == f"{tmp_path / name}: {due}{under}"


@pytest.mark.parametrize("packed", ["train.jsonl.gz", "train-0.csv.xz", "rows.json.zst"])
def test_a_packed_file_in_a_folder_is_refused_and_not_passed_over(tmp_path, packed):
    (tmp_path / packed).write_bytes(b"packed")
    if "train" in packed:
        write(tmp_path / "extra.jsonl")
    with pytest.raises(
        ConfigError, match=rf"^data\.path=.*{packed}: expected a .jsonl, .*; unpack it first$"
    ):
        read(tmp_path)
    if packed.endswith(".gz"):
        write(tmp_path / "train.jsonl")
        assert fields(read(tmp_path)) == ROWS, "it is there unpacked"


def test_a_long_cell_of_a_csv_file_is_read(tmp_path):
    long = "x, " * 100_000
    (tmp_path / "a.csv").write_text(f'q,a\n"{long}",1\ny,2\n')
    assert fields(read(tmp_path / "a.csv")) == [{"q": long, "a": "1"}, {"q": "y", "a": "2"}]


@pytest.mark.parametrize("path", ["absent.jsonl", "some/folder/rows.parquet", "/no/such/folder", "a b"])
def test_what_can_only_be_a_path_is_not_looked_for_on_the_hub(path, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(ConfigError, match=r"data.path=.*no such file or folder"):
        read(path)


def test_an_unreachable_hub_is_one_clear_line():
    with pytest.raises(ConfigError) as caught:
        read("meta-math/MetaMathQA")  # tests run with HF_HUB_OFFLINE
    message = str(caught.value)
    assert message.startswith("data.path=meta-math/MetaMathQA: no such file or folder here, and the hub")
    assert "local copy" in message and "\n" not in message


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A data set in the hub's layout that the real loader reads from disk: its errors are the real ones."""
    write(tmp_path / "hub" / "main" / "train.jsonl")
    write(tmp_path / "hub" / "main" / "test.jsonl", ROWS[:1])
    write(tmp_path / "hub" / "other" / "train.jsonl")
    splits = "[{split: train, path: main/train.jsonl}, {split: test, path: main/test.jsonl}]"
    other = "{config_name: other, data_files: other/train.jsonl}"
    card = f"---\nconfigs: [{{config_name: main, data_files: {splits}}}, {other}]\n---\n"
    (tmp_path / "hub" / "README.md").write_text(card)
    load, asked = datasets.load_dataset, []

    def from_disk(path, name, *, split, revision):
        asked.append((path, revision))
        return load(str(tmp_path / "hub"), name, split=split, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", from_disk)
    return asked


def test_a_hub_data_set_is_read_by_config_split_and_revision(hub):
    rows = read("openai/gsm8k", config="main", split="test", revision="abc")
    assert fields(rows) == ROWS[:1] and rows[0].where == "openai/gsm8k (test): row 1"
    assert hub == [("openai/gsm8k", "abc")]
    picked = iter_table("openai/gsm8k", key="data.path", config="main", columns=("q", "absent"))
    assert fields(picked) == [{"q": "a"}, {"q": "b"}]


@pytest.mark.parametrize("options, parts", [
    ({}, ["config default", "main", "other"]),
    ({"config": "mian"}, ["config mian", "main", "other"]),
    ({"config": "main", "split": "dev"}, ["split dev", "train", "test"]),
])  # fmt: skip
def test_a_wrong_config_or_split_is_named_with_what_there_is(hub, options, parts):
    with pytest.raises(ConfigError) as caught:
        read("openai/gsm8k", **options)
    message = str(caught.value)
    assert message.startswith("data.path=openai/gsm8k: ") and "\n" not in message
    assert all(part in message for part in parts)


def test_a_gated_data_set(monkeypatch):
    def refuse(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'a/b' is a gated dataset on the Hub.\nAsk.")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ConfigError, match=r"data.path=a/b: .*gated dataset on the Hub. Ask"):
        read("a/b")


def test_csv_is_read_as_texts_and_a_line_of_another_width_is_named(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('q,a\n"1, 2",007\nx,y\n')
    rows = read_table(str(file), key="data.path")
    assert [dict(row.fields) for row in rows] == [{"q": "1, 2", "a": "007"}, {"q": "x", "a": "y"}]
    assert [row.where for row in rows] == [f"{file}:2", f"{file}:3"]
    for line in ("1,2,3", "1"):
        file.write_text(f"q,a\nx,y\n{line}\n")
        with pytest.raises(ConfigError, match=r"a\.csv:3: can't be read as CSV: not 2 cells"):
            read_table(str(file), key="data.path")

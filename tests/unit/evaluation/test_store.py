from dataclasses import replace

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.evaluation.store import Generation, Store


def row(index, sample=0, text="x", name="gsm8k"):
    return Generation(f"{name}/{index}", sample, 5, "p", text, "1", tokens=3, ended=True)


def test_parts_become_one_sorted_file(tmp_path):
    store = Store(tmp_path)
    store.append("gsm8k", 1, [row(10), row(2, 1)])
    store.append("gsm8k", 0, [row(2, 0), row(1, text="\ud800 \u2028 ok")])
    store.append("amc", 0, [row(0, name="amc")])
    assert store.names() == ["amc", "gsm8k"] and store.read("gsm8k") == []
    store.merge()
    assert [r.key for r in store.read("gsm8k")] == [
        ("gsm8k/1", 0), ("gsm8k/2", 0), ("gsm8k/2", 1), ("gsm8k/10", 0),
    ]  # fmt: skip
    assert store.read("gsm8k")[0].completion == "\ud800 \u2028 ok"
    assert sorted(p.name for p in store.generations.iterdir()) == ["amc.jsonl", "gsm8k.jsonl"]


def test_a_torn_line_is_left_out_and_what_was_merged_stays(tmp_path):
    store = Store(tmp_path)
    store.append("gsm8k", 0, [row(0)])
    store.merge()
    store.append("gsm8k", 0, [row(0, text="made again"), row(1)])
    with (store.generations / "gsm8k.0.part").open("a") as file:
        file.write('{"id": "gsm8k/2", "sam')
    store.merge()
    assert [(r.id, r.completion) for r in store.read("gsm8k")] == [("gsm8k/0", "x"), ("gsm8k/1", "x")]


def test_a_damaged_line_is_named(tmp_path):
    store = Store(tmp_path)
    store.replace("gsm8k", [row(0)])
    with (store.generations / "gsm8k.jsonl").open("a") as file:
        file.write('{"id": "gsm8k/2"}\n')
    with pytest.raises(ConfigError, match=r"gsm8k\.jsonl:2: not a saved completion"):
        store.read("gsm8k")


@pytest.mark.parametrize("changes, said", [
    ({"id": "17"}, "its id '17' is not NAME/NUMBER"),
    ({"id": "gsm8k/b"}, "its id 'gsm8k/b' is not NAME/NUMBER"),
    ({"completion": None}, "completion is null"),
    ({"tokens": "three"}, 'tokens is "three"'),
    ({"ended": 1}, "ended is 1"),
])  # fmt: skip
def test_a_field_of_another_kind_is_named(tmp_path, changes, said):
    store = Store(tmp_path)
    store.append("gsm8k", 0, [row(0), replace(row(1), **changes)])
    with pytest.raises(ConfigError, match=rf"gsm8k\.0\.part:2: not a saved completion \({said}\); remove"):
        store.merge()


def test_a_line_that_is_no_text_is_named(tmp_path):
    store = Store(tmp_path)
    store.replace("gsm8k", [row(0), row(1)])
    with (store.generations / "gsm8k.jsonl").open("ab") as file:
        file.write(b'{"id": "\xff"}\n')
    with pytest.raises(ConfigError, match=r"gsm8k\.jsonl:3: not a saved completion"):
        store.read("gsm8k")


def test_other_files_are_left_alone(tmp_path):
    store = Store(tmp_path)
    store.append("gsm8k", 0, [row(0)])
    for name in ("notes.txt", "*.part", ".gsm8k.jsonl.tmp"):
        (store.generations / name).write_text("mine")
    store.merge()
    assert store.names() == ["gsm8k"] and (store.generations / "*.part").read_text() == "mine"

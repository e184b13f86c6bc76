import json
from dataclasses import asdict, replace

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting import Answer, Verdict
from igpo_lightning.rewriting import journal as module
from igpo_lightning.rewriting.journal import FILE, Journal

ANSWER = Answer("toy/1", 1, "ab12", "ünd \ud800 \\boxed{1}\n", "stop", 100, None, 1, 2.5)
VERDICT = Verdict("toy/1", 1, "too long", "write less", 300, 900)


def filled(folder, *records):
    journal = Journal(folder)
    for record in records:
        journal.add(record)
    return folder / FILE


def test_what_was_added_is_there_the_next_time(tmp_path):
    filled(tmp_path, ANSWER, VERDICT)
    journal = Journal(tmp_path)
    assert (journal.records, journal.cut) == ([ANSWER, VERDICT], 0)


def test_nothing_is_made_before_the_first_answer(tmp_path):
    assert Journal(tmp_path / "absent").records == []
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("size", [1, 20, -1])
def test_a_torn_last_line_is_cut_and_the_next_one_stands_alone(tmp_path, size):
    path = filled(tmp_path, ANSWER, VERDICT)
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole + last[:size])  # -1: all but its newline
    journal = Journal(tmp_path)
    assert journal.cut == len(last[:size])
    journal.add(replace(ANSWER, attempt=2))
    assert Journal(tmp_path).records == [ANSWER, VERDICT, replace(ANSWER, attempt=2)]


def test_a_last_line_of_zeros_is_cut(tmp_path):
    path = filled(tmp_path, ANSWER)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 30 + b"\n")
    assert Journal(tmp_path).records == [ANSWER]
    assert path.read_bytes() == whole


@pytest.mark.parametrize("count", ["812", 31.0, True, [7], {"total": 9}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_no_whole_number_is_not_known_and_a_journal_with_one_is_read(tmp_path, name, count):
    assert getattr(replace(ANSWER, **{name: count}), name) is None
    path = filled(tmp_path, ANSWER)
    path.write_text(json.dumps({**json.loads(path.read_text()), name: count}) + "\n")
    assert Journal(tmp_path).records == [replace(ANSWER, **{name: None})]


def test_a_finish_that_is_no_text_is_none_that_is_known(tmp_path):
    path = filled(tmp_path, ANSWER)
    path.write_text(json.dumps({**json.loads(path.read_text()), "finish": 3}) + "\n")
    assert Journal(tmp_path).records == [ANSWER]


@pytest.mark.parametrize("line", [
    "{", '{"kind": "answer", "id": 1}', '{"kind": "poem"}', "[]", "", "null",
    json.dumps({"kind": "answer", **asdict(ANSWER), "id": ["toy/1"]}),
    json.dumps({"kind": "answer", **asdict(ANSWER), "attempt": "1"}),
    json.dumps({"kind": "verdict", **asdict(VERDICT), "tokens": "300"}),
])  # fmt: skip
def test_another_damaged_line_is_named_and_nothing_is_lost(tmp_path, line):
    path = filled(tmp_path, ANSWER, VERDICT)
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{line}\n{second}\n")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"journal\.jsonl:2: not a line of this journal"):
        Journal(tmp_path)
    assert path.read_bytes() == before


def test_an_answer_is_synced_and_a_verdict_is_not(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add(VERDICT)
    synced = []
    monkeypatch.setattr(module.os, "fsync", synced.append)
    journal.add(VERDICT)
    assert synced == []
    journal.add(ANSWER)
    assert len(synced) == 1


def test_a_full_disk_leaves_whole_lines_only(tmp_path, monkeypatch):
    journal = Journal(tmp_path)
    journal.add(ANSWER)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(ConfigError, match=r"journal\.jsonl: can't be written: No space left"):
        journal.add(replace(ANSWER, attempt=2))
    monkeypatch.undo()
    assert Journal(tmp_path).records == [ANSWER]


def test_lines_are_plain_json(tmp_path):
    [line] = filled(tmp_path, VERDICT).read_text().splitlines()
    assert json.loads(line) == {
        "kind": "verdict", "id": "toy/1", "attempt": 1, "reason": "too long", "told": "write less",
        "tokens": 300, "source_tokens": 900,
    }  # fmt: skip

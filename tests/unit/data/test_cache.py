import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data import encoding
from igpo_lightning.data.encoding import LONG_TRACE, NO_ANSWER, Encoder
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.types import Problem

WORDS = [*map(str, range(10)), "+", "=", "?", "####", "go"]


def problems(count=8):
    """Of every four, one has a long trace and one says another answer."""
    rows = [
        Problem(f"p/{i}", f"{i} + 1 ?", f"{i} + 1 = {i + 1} #### {i + 1}", f"{i + 1}") for i in range(count)
    ]
    for i in range(1, count, 4):
        rows[i] = Problem(f"p/{i}", "1 ?", "1 + 1 + 1 + 1 + 1 = 5 #### 5", "5")
    for i in range(2, count, 4):
        rows[i] = Problem(f"p/{i}", "2 ?", "2 = 2 #### 2", "3")
    return rows


DROPPED = {LONG_TRACE: 2, NO_ANSWER: 2}


@pytest.fixture(autouse=True)
def small_is_enough(monkeypatch):
    monkeypatch.setattr(encoding, "CACHED_ROWS", 4)
    monkeypatch.setattr(encoding, "_CHUNK", 3)


@pytest.fixture
def encoder(tmp_path):
    def make(tokenizer=None, **options):
        options = {"max_response": 8, "on_long": "drop", "on_missing_answer": "drop", **options}
        return Encoder(tokenizer or word_level(WORDS), cache_dir=str(tmp_path / "cache"), **options)

    return make


@pytest.fixture
def forbidden(monkeypatch):
    """From here on nothing may be tokenized."""

    def forbid():
        monkeypatch.setattr(Encoder, "_tokenize", None)

    return forbid


def entries(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.arrow"))


def dropped(encoded):
    return Counter(fate.note for fate in encoded.fates if not fate.kept)


def test_the_second_time_nothing_is_tokenized_and_all_is_the_same(tmp_path, encoder, forbidden):
    plain = Encoder(word_level(WORDS), max_response=8, on_long="drop", on_missing_answer="drop")
    rows, wanted = problems(), plain.encode_all(problems())
    assert dropped(wanted) == DROPPED and len(wanted.prompts) == 4
    first = encoder().encode_all(rows)
    forbidden()
    second = encoder().encode_all(rows)
    for report in (first, second):
        assert dropped(report) == DROPPED and tuple(report.prompts) == wanted.prompts
        assert [p.hint for p in report.prompts] == [p.hint for p in wanted.prompts] != [(), (), (), ()]
        assert report.prompts[1:3] == list(wanted.prompts[1:3]) and report.prompts[-1] == wanted.prompts[-1]
        assert report.prompts[0].problem is rows[0] and isinstance(report.prompts[0].ids, tuple)
        with pytest.raises(IndexError):
            report.prompts[4]
    assert len(entries(tmp_path)) == 1


def test_few_rows_and_no_folder_leave_no_trace(tmp_path, encoder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(encoder().encode_all(problems(3)).prompts) == 1
    assert len(Encoder(word_level(WORDS)).encode_all(problems(4)[:1] * 9).prompts) == 9
    assert not any(tmp_path.iterdir())


def other_template(tokenizer):
    tokenizer.chat_template = "{{ messages[-1].content }}"
    return tokenizer


CHANGES = {
    "nothing": {},
    "vocabulary": {"tokenizer": word_level([*WORDS[::-1]])},
    "chat template": {"tokenizer": other_template(word_level(WORDS))},
    "prompt": {"prompt": PromptFormat("go", user="go {question}")},
    "width": {"max_response": 20},
    "prompt limit": {"max_prompt": 30},
    "hints": {"hints": False},
    "mask": {"mask_id": 3},
    "errors": {"on_long": "error", "max_response": None},
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_the_result_changes_the_entry(tmp_path, encoder, change):
    encoder().encode_all(problems())
    encoder(**CHANGES[change]).encode_all(problems())
    assert len(entries(tmp_path)) == 1 + (change != "nothing")


@pytest.mark.parametrize("part", ["prompt", "trace", "answer"])
def test_other_rows_are_another_entry_but_other_ids_are_not(tmp_path, encoder, part):
    rows = problems()
    encoder().encode_all(rows)
    renamed = [Problem(f"q/{p.id}", p.prompt, p.trace, p.answer) for p in rows]
    assert encoder().encode_all(renamed).prompts[0].problem.id == "q/p/0"
    assert len(entries(tmp_path)) == 1
    rows[0] = Problem(**{**vars(rows[0]), part: getattr(rows[0], part) + " "})
    encoder().encode_all(rows)
    assert len(entries(tmp_path)) == 2


def test_rows_are_not_run_together(encoder):
    key = encoder()._key
    a, b = Problem("a", "1 2", "3", "3"), Problem("a", "1", "2 3", "3")
    assert key([a]) != key([b]) and key([a, b]) != key([b, a]) and key([a]) != key([a, a])


def test_other_code_is_another_entry(encoder, monkeypatch):
    read, before = Path.read_bytes, encoder()._key(problems())
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"" if path.name == "reader.py" else read(path))
    assert encoder()._key(problems()) != before


def broken(content, how):
    return {
        "empty": b"",
        "garbage": b"not arrow at all" * 50,
        "truncated": content[: len(content) // 2],
        "bits": content[:600] + bytes(255 - byte for byte in content[600:900]) + content[900:],
    }[how]


@pytest.mark.parametrize("how", ["empty", "garbage", "truncated", "bits"])
def test_a_broken_entry_is_made_again(tmp_path, encoder, how):
    wanted = tuple(encoder().encode_all(problems()).prompts)
    [entry] = entries(tmp_path)
    content = entry.read_bytes()
    entry.write_bytes(broken(content, how))
    assert tuple(encoder().encode_all(problems()).prompts) == wanted
    assert entry.read_bytes() == content


def test_an_entry_of_other_rows_under_the_same_name_is_not_believed(tmp_path, encoder):
    encoder().encode_all(problems())
    [entry] = entries(tmp_path)
    short = encoder().encode_all(problems(4))
    [other] = set(entries(tmp_path)) - {entry}
    entry.write_bytes(other.read_bytes())
    assert len(encoder().encode_all(problems()).prompts) == 4 and len(short.prompts) == 2


def test_a_bad_row_is_an_error_and_nothing_is_kept(tmp_path, encoder):
    with pytest.raises(ConfigError, match="problem p/1: the trace has"):
        encoder(on_long="error").encode_all(problems())
    assert not entries(tmp_path)


def test_a_folder_that_cannot_be_used_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    encoder = Encoder(word_level(WORDS), cache_dir=str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        assert len(encoder.encode_all(problems(4)[:1] * 5).prompts) == 5
    assert "data.cache_dir=" in caplog.text and "going on without it" in caplog.text


def test_of_several_at_once_one_encodes_and_the_others_wait(tmp_path, encoder, monkeypatch):
    tokenize, made = Encoder._tokenize, []
    monkeypatch.setattr(Encoder, "_tokenize", lambda self, rows: made.extend(rows) or tokenize(self, rows))
    with ThreadPoolExecutor(3) as pool:  # each has a lock of its own, as processes have
        results = list(pool.map(lambda each: each.encode_all(problems(600)), [encoder() for _ in range(3)]))
    assert len(made) == 600 and len(entries(tmp_path)) == 1
    assert len({tuple(p.ids for p in report.prompts) for report in results}) == 1

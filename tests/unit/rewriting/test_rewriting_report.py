"""Counts, the progress line, and the page, from traces written by hand."""

import io
import json
import re

import pytest

from igpo_lightning.console import join
from igpo_lightning.rewriting import Answer, Trace, Verdict
from igpo_lightning.rewriting import report as module
from igpo_lightning.rewriting.progress import Progress, count
from igpo_lightning.rewriting.report import figures, write_rows
from igpo_lightning.types import Problem


def answer(i, attempt, text="So \\boxed{1}", session=1, at=10.0, tokens=(1000, 200)):
    return Answer(f"toy/{i}", attempt, "", text, "stop", *tokens, session, at)


PRICES = {"input": 2.0, "output": 10.0}


@pytest.fixture
def traces() -> list[Trace]:
    """Kept at once, kept at the second try, kept as it was, rejected twice, not answered, not asked."""
    made = [
        Trace(Problem(f"toy/{i}", f"Q{i}", "Long ```` trace", "1", {"level": i, "id": "x"})) for i in range(6)
    ]
    for record in (
        answer(0, 1, "Short\x1b[2J ```` \\boxed{1}"),
        Verdict("toy/0", 1, None, "", 20, 500),
        answer(1, 1),
        answer(1, 2, at=20.0),
        Verdict("toy/1", 1, "too long", "write less", 300, 600),
        Verdict("toy/1", 2, None, "", 40, 600),
        Verdict("toy/2", 0, None, "", 30, 30),
        answer(3, 1, session=2, at=5.0),
        answer(3, 2, "Bad", 2, 7.0, (None, None)),
        Verdict("toy/3", 1, "wrong answer", "it is not 2", 9, 700),
        Verdict("toy/3", 2, "wrong answer", "it is not 2", 9, 700),
    ):
        made[int(record.id[-1])].add(record)
    made[4].failure = "timed out"
    return made


def test_figures_by_hand(traces):
    assert figures(traces, attempts=2, prices=PRICES) == {
        "finished": False,
        "traces": 6,
        "unanswered": 2,
        "kept": 3,
        "pass_rate": 0.75,
        "kept_at_first_attempt": 1,
        "kept_unchanged": 1,
        "rejected": {"wrong answer": 1},
        "tokens_of_originals": {"median": 600, "90%": 700, "longest": 700},
        "tokens_of_kept": {"median": 30, "90%": 40, "longest": 40},
        "answers": 5,
        "answers_turned_down": {"wrong answer": 2, "too long": 1},
        "answers_without_token_counts": 1,
        "requests_failed": 1,
        "prompt_tokens": 4000,
        "completion_tokens": 800,
        "completion_tokens_per_second": 29.6,  # 800 in 27 s
        "cost_usd": pytest.approx(0.016),
        "seconds": 27.0,  # 20 of the first session, 7 of the second
        "sessions": 2,
    }
    assert figures(traces, attempts=3)["rejected"] == {}  # another try is due
    assert figures(traces, attempts=2)["cost_usd"] is None


def test_an_original_that_does_not_fit_is_no_answer_turned_down(traces):
    traces[5].add(Verdict("toy/5", 0, "too long", "write less", 800, 800))
    assert figures(traces, 2)["answers_turned_down"] == {"wrong answer": 2, "too long": 1}
    assert (traces[5].reason(), traces[5].rejected) == ("no answer", None)


def test_rows_keep_the_order_and_the_meta(traces, tmp_path):
    write_rows(tmp_path, traces)
    concise = [json.loads(line) for line in (tmp_path / "concise.jsonl").read_text().splitlines()]
    assert [row["trace"] for row in concise] == [
        "Short\x1b[2J ```` \\boxed{1}", "So \\boxed{1}", "Long ```` trace",
    ]  # fmt: skip
    assert concise[1] == {
        "id": "toy/1", "prompt": "Q1", "trace": "So \\boxed{1}", "answer": "1", "level": 1,
    }  # fmt: skip
    others = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [(row["id"], row["reason"], row["detail"], row["attempts"], row["rewrite"]) for row in others] == [
        ("toy/3", "wrong answer", "it is not 2", 2, "Bad"),
        ("toy/4", "no answer", "timed out", 0, None),
        ("toy/5", "no answer", "", 0, None),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["concise.jsonl", "rejected.jsonl"]


def test_an_answer_that_waits_for_its_verdict_is_among_the_rejected(traces, tmp_path):
    """After a Ctrl-C: the original has been judged, the answer has not."""
    traces[5].add(Verdict("toy/5", 0, "too long", "write less", 800, 800))
    traces[5].add(answer(5, 1))
    write_rows(tmp_path, traces)
    last = json.loads((tmp_path / "rejected.jsonl").read_text().splitlines()[-1])
    assert (last["id"], last["reason"], last["attempts"]) == ("toy/5", "not judged yet", 1)


def test_the_table(traces):
    text = module.table("toy", {**figures(traces, 2, PRICES), "writer": "m"})
    assert text.splitlines()[0].split("|")[2].strip() == "unfinished"
    cells = dict(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()[2:])
    assert cells["traces"] == "6" and cells["unanswered"] == "2"
    assert cells["kept"] == "3" and cells["pass rate"] == "75.0%" and cells["kept at first attempt"] == "1"
    assert cells["kept unchanged"] == "1" and cells["rejected"] == "1 wrong answer"
    assert cells["tokens of originals"] == "600 median, 700 90%, 700 longest"
    assert cells["tokens of kept"] == "30 median, 40 90%, 40 longest"
    assert cells["answers turned down"] == "2 wrong answer, 1 too long"
    assert cells["prompt tokens"] == "4,000" and cells["cost usd"] == "$0.02"
    assert cells["seconds"] == "0:27" and cells["sessions"] == "2" and cells["writer"] == "m"


def test_the_page_and_its_picture(traces, tmp_path):
    module.write_report(tmp_path, "toy", traces, figures(traces, 2), 41)
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "report.md").read_text()
    assert "### `toy/0`: 500 → 20 tokens" in text
    assert "\n\n    Long ```` trace\n\n" in text  # a block of code that the text can't end
    assert "\x1b" not in text and "toy/2`" not in text


def test_a_page_about_nothing_yet(tmp_path):
    traces = [Trace(Problem("toy/0", "Q", "T", "1"))]
    text = module.write_report(tmp_path, "toy", traces, figures(traces, 2), 41)
    assert "| unanswered |" in text.replace("  ", "") and (tmp_path / "report.png").exists()


def test_the_progress_line(traces, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("igpo_lightning.rewriting.progress.time.monotonic", lambda: clock[0])
    fourth = traces[3]
    traces[3:] = [Trace(Problem(f"toy/{i}", "Q", "T", "1")) for i in range(3, 10)]
    progress = Progress(lambda: figures(traces, 2, PRICES), stream=io.StringIO())
    assert join(progress.cells()) == "3/10 traces | kept 100% | tokens 3.0k in, 600 out | $0.01"
    clock[0] += 20
    traces[3], traces[4].failure = fourth, "timed out"
    assert join(progress.cells()) == (  # one trace and 200 tokens in 20 s, six traces to go
        "4/10 traces | kept 75% | 10 tok/s | ETA 2:00 | tokens 4.0k in, 800 out | $0.02 | 1 requests failed"
    )


@pytest.mark.parametrize(
    ("tokens", "text"), [(999, "999"), (1500, "1.5k"), (2_340_000, "2.3M"), (4e9, "4.0G")]
)
def test_large_counts_are_short(tokens, text):
    assert count(tokens) == text


def test_pace_and_eta_stay_on_60_columns(traces, monkeypatch):
    clock, found = [0.0], {**figures(traces[:3], 2, PRICES), "traces": 93_733, "unanswered": 93_730}
    monkeypatch.setattr("igpo_lightning.rewriting.progress.time.monotonic", lambda: clock[0])
    progress = Progress(lambda: dict(found), stream=io.StringIO())
    found["unanswered"] -= 1
    found["completion_tokens"] += 8_000_000
    clock[0] = 36_000.0
    whole, narrow = join(progress.cells()), join(progress.cells(), 60)
    pace = re.search(r"[\d,]+ tok/s \| ETA [\d:]+", whole)[0]
    assert len(whole) > 60 >= len(narrow)
    assert narrow.startswith("4/93,733 traces | ") and pace in narrow


def test_a_terminal_line_is_rewritten_in_place(traces):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    progress = Progress(lambda: figures(traces, 2), stream=screen)
    progress.line.show(progress.cells())
    progress.line.print("stopping")
    assert screen.getvalue().count("\n") == 1
    assert screen.getvalue().split("\n")[0].endswith("\r\x1b[2Kstopping")

"""Counts, the progress line, and the page, from traces written by hand."""

import io
import json
import re

import pytest

from igpo_lightning.console import join
from igpo_lightning.rewriting import Answer, Trace, Verdict
from igpo_lightning.rewriting import report as module
from igpo_lightning.rewriting.progress import Progress, count
from igpo_lightning.rewriting.results import write_rows, write_summary
from igpo_lightning.rewriting.tally import Prices, Tally
from igpo_lightning.types import Problem


def answer(i, attempt, text="So \\boxed{1}", session=1, at=10.0, tokens=(1000, 200)):
    return Answer(f"toy/{i}", attempt, "", text, "stop", *tokens, session, at)


@pytest.fixture
def traces() -> list[Trace]:
    """Kept at once, kept at the second try, kept as it was, rejected twice, not answered, not asked."""
    made = [
        Trace(Problem(f"toy/{i}", f"Q{i}", "Long ```` trace", "1", {"level": i, "id": "x"})) for i in range(6)
    ]
    made[0].answers = [answer(0, 1, "Short\x1b[2J ```` \\boxed{1}")]
    made[0].verdicts = [Verdict("toy/0", 1, None, "", 20, 500)]
    made[1].answers = [answer(1, 1), answer(1, 2, at=20.0)]
    made[1].verdicts = [
        Verdict("toy/1", 1, "too long", "write less", 300, 600),
        Verdict("toy/1", 2, None, "", 40, 600),
    ]
    made[2].verdicts = [Verdict("toy/2", 0, None, "", 30, 30)]
    made[3].answers = [answer(3, 1, session=2, at=5.0), answer(3, 2, "Bad", 2, 7.0, (None, None))]
    made[3].verdicts = [Verdict("toy/3", n, "wrong answer", "it is not 2", 9, 700) for n in (1, 2)]
    made[4].failure = "timed out"
    return made


def test_counts_by_hand(traces):
    tally = Tally.of(traces, attempts=2, prices=Prices(2.0, 10.0))
    assert (tally.total, tally.done, tally.kept, tally.unchanged) == (6, 4, 3, 1)
    assert tally.rejected == {"wrong answer": 1}
    assert tally.turned_down == {"too long": 1, "wrong answer": 2}
    assert (tally.answers, tally.uncounted) == (5, 1)
    assert (tally.prompt_tokens, tally.completion_tokens) == (4000, 800)
    assert tally.cost == pytest.approx(0.016)
    assert tally.wall_seconds == 27.0  # 20 of the first session, 7 of the second
    assert Tally.of(traces, attempts=3).rejected == {}  # another try is due
    assert Tally.of(traces, attempts=2).cost is None


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


def test_the_summary(traces, tmp_path):
    write_summary(tmp_path, Tally.of(traces, 2), {"settings": {"length": 41}})
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["pass_rate"] == 0.75 and summary["unanswered"] == 2 and not summary["finished"]
    assert summary["completion_tokens_per_second"] == 29.6  # 800 in 27 s
    assert summary["settings"] == {"length": 41}


def test_the_table(traces):
    text = module.table("toy", traces, Tally.of(traces, 2, Prices(2.0, 10.0)), 41, {"writer": "m"})
    cells = dict(tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines()[2:])
    assert cells["traces"] == "6 (2 not done yet)"
    assert cells["kept"] == "3 (75.0%)" and cells["kept at the first attempt"] == "1"
    assert cells["kept as they were"] == "1" and cells["rejected: wrong answer"] == "1"
    assert cells["tokens of the originals, median / 90% / longest"] == "600 / 700 / 700"
    assert cells["tokens of the kept ones (at most 40)"] == "30 / 40 / 40"
    assert cells["answers turned down"] == "2 wrong answer, 1 too long"
    assert cells["writer's tokens"] == "4.0k in, 800 out" and cells["cost"] == "$0.02"
    assert cells["wall time"] == "0:27 in 2 sessions" and cells["writer"] == "m"


def test_the_page_and_its_picture(traces, tmp_path):
    module.write_report(tmp_path, "toy", traces, Tally.of(traces, 2), 41, {})
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "report.md").read_text()
    assert "### `toy/0`: 500 → 20 tokens" in text
    assert "\n`````text\nLong ```` trace\n`````\n" in text  # a fence that the text can't close
    assert "\x1b" not in text and "toy/2`" not in text


def test_a_page_about_nothing_yet(tmp_path):
    traces = [Trace(Problem("toy/0", "Q", "T", "1"))]
    text = module.write_report(tmp_path, "toy", traces, Tally.of(traces, 2), 41, {})
    assert "1 (1 not done yet)" in text and (tmp_path / "report.png").exists()


def test_the_progress_line(traces, monkeypatch):
    tally = Tally.of(traces[:3], attempts=2, prices=Prices(2.0, 10.0))
    tally.total = 10
    clock = [100.0]
    monkeypatch.setattr("igpo_lightning.rewriting.progress.time.monotonic", lambda: clock[0])
    progress = Progress(tally, stream=io.StringIO())
    assert progress.line() == "3/10 traces | kept 100% | tokens 3.0k in, 600 out | $0.01"
    clock[0] += 20
    for late in traces[3].answers:
        tally.pay(late)
    tally.finish(traces[3])
    tally.failed = 1
    assert progress.line() == (  # one trace and 200 tokens in 20 s, six traces to go
        "4/10 traces | kept 75% | 10 tok/s | ETA 2:00 | tokens 4.0k in, 800 out | $0.02 | 1 requests failed"
    )


@pytest.mark.parametrize(
    ("tokens", "text"), [(999, "999"), (1500, "1.5k"), (2_340_000, "2.3M"), (4e9, "4.0G")]
)
def test_large_counts_are_short(tokens, text):
    assert count(tokens) == text


def test_pace_and_eta_stay_on_60_columns(traces, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("igpo_lightning.rewriting.progress.time.monotonic", lambda: clock[0])
    tally = Tally.of(traces[:3], attempts=2, prices=Prices(2.0, 10.0))
    tally.total = 93_733
    progress = Progress(tally, stream=io.StringIO())
    tally.finish(traces[3])
    tally.completion_tokens += 8_000_000
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
    progress = Progress(Tally.of(traces, 2), stream=screen)
    progress._line.show(progress.cells())
    progress.say("stopping")
    assert screen.getvalue().count("\n") == 1
    assert screen.getvalue().split("\n")[0].endswith("\r\x1b[2Kstopping")

"""What those who work tell, and what a console makes of it."""

import io
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from igpo_lightning import progress
from igpo_lightning.console import Cell, Line, join
from igpo_lightning.progress import Work
from igpo_lightning.reporting.callbacks import RolloutProgress
from igpo_lightning.reporting.cells import rate, work_cells


def seen_of(work):
    """Copies of ``work`` as an observer sees it."""
    seen = []
    with progress.observed(lambda now: seen.append(replace(now))):
        work()
    return seen


def two_calls():
    with progress.work("sample", rows=6, width=10, rollout=3):
        for rows in (4, 2):
            progress.began(rows)
            progress.step(1, 4, block=1, blocks=2)
            progress.finished()


def test_the_share_of_a_call_counts_for_its_rows():
    seen = seen_of(two_calls)
    assert [now.progress for now in seen] == [0, 0, 1, 4, 4, 4.5, 6, 6]
    assert [now.tokens for now in seen][-3:] == [45, 60, 60]
    assert [now.over for now in seen] == [False] * 7 + [True]
    assert (seen[2].name, seen[2].block, seen[2].blocks, seen[2].rollout) == ("sample", 1, 2, 3)


def test_work_within_work_is_a_part_of_it():
    def nested():
        with progress.work("held-out problems", rows=12, width=10):
            two_calls()
            two_calls()

    seen = seen_of(nested)
    assert {now.name for now in seen} == {"held-out problems"}
    assert seen[-1].progress == 12 and [now.over for now in seen].count(True) == 1


def test_nobody_need_listen_and_nothing_outlives_its_context():
    two_calls()
    progress.step(1, 2)
    progress.finished()
    assert seen_of(lambda: progress.began(3)) == []  # no work
    with pytest.raises(ZeroDivisionError), progress.work("sample", rows=1):
        1 / 0  # noqa: B018
    assert [now.name for now in seen_of(two_calls)] == ["sample"] * 8


def test_what_a_line_says_of_the_work_under_way():
    """A quarter of 64 rows of 256 tokens in 8 s: 512 tokens a second, 24 s to go."""
    work = Work("sample", rows=64, width=256, pending=64, share=0.25, block=2, blocks=8)
    assert join(work_cells(work, 8.0)) == "sample 16/64 rows | block 2/8 | 512 tok/s | ETA 0:24"
    assert join(work_cells(replace(work, share=0.0), 8.0)) == "sample 0/64 rows | block 2/8"
    slow = Work("score", rows=100, done=1)
    assert join(work_cells(slow, 8.0)) == "score 1/100 rows | 0.12 rows/s | ETA 13:12"
    assert [rate(x) for x in (0.416, 3.14, 37.4, 1234.0, 45_600.0)] == ["0.42", "3.1", "37", "1,234", "45.6k"]


CELLS = (
    Cell("rollout 7/40"),
    Cell("reward .31 (before .22)", 2, short="reward .31"),
    Cell("all-wrong .55→.08", 3),
    Cell("kl .002", 6),
    Cell("312.4 s/rollout"),
    Cell("ETA 2:51:50"),
)
PACE = "312.4 s/rollout | ETA 2:51:50"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (None, f"reward .31 (before .22) | all-wrong .55→.08 | kl .002 | {PACE}"),
        (95, f"reward .31 (before .22) | all-wrong .55→.08 | {PACE}"),
        (80, f"reward .31 (before .22) | kl .002 | {PACE}"),
        (60, f"reward .31 | {PACE}"),
        (50, PACE),
        (20, PACE[:5]),
    ],
)
def test_pace_and_eta_stay_where_there_is_little_room(columns, line):
    assert join(CELLS, columns) == f"rollout 7/40 | {line}"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_is_written_over_and_texts_stand_above_it(monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *args, **kwargs: os.terminal_size((60, 20)))
    out = Terminal()
    line = Line(out)
    line.show(CELLS)
    line.print("above")
    line.end()
    short = "rollout 7/40 | reward .31 | 312.4 s/rollout | ETA 2:51:50"
    assert out.getvalue() == f"\r\x1b[2K{short}\r\x1b[2Kabove\n{short}\n"
    plain = io.StringIO()
    Line(plain).show(CELLS[:2])
    assert plain.getvalue() == "rollout 7/40 | reward .31 (before .22)\n"


class Clock:
    """Moves on by ``tick`` with every look."""

    def __init__(self, tick=1.0):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


def lines_of_long_work(stream, interval):
    shown = RolloutProgress(interval, stream, clock=Clock())
    shown._trainer = SimpleNamespace(datamodule=SimpleNamespace(rollouts=40))
    with progress.observed(shown._report_work), progress.work("sample", rows=256, width=256, rollout=2):
        progress.began(256)
        for step in range(128):
            progress.step(step, 128, step // 16 + 1, 8)
        progress.finished()
    return stream.getvalue()


def test_off_a_terminal_work_is_a_line_every_interval_at_most():
    lines = lines_of_long_work(io.StringIO(), interval=50.0).splitlines()
    assert 2 <= len(lines) <= 1 + 3 * 130 // 50  # the clock is looked at up to three times a step
    assert all(line.startswith("rollout 3/40 | sample ") for line in lines)
    assert lines_of_long_work(io.StringIO(), interval=1e6) == ""


@pytest.mark.parametrize("columns", [60, 200])
def test_on_a_terminal_every_step_is_seen_with_pace_and_eta(monkeypatch, columns):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *args, **kwargs: os.terminal_size((columns, 20)))
    shown = lines_of_long_work(Terminal(), interval=1e6).split("\r\x1b[2K")[1:]
    assert len(shown) > 100 and max(map(len, shown)) < columns
    late = shown[10:-1]
    assert shown[-1] == ""  # its work is over
    assert all("rollout 3/40 | sample " in line and " tok/s | ETA " in line for line in late)
    assert all(("block " in line) == (columns == 200) for line in late)


def test_what_was_said_of_work_does_not_outlive_it():
    out = Terminal()
    shown = RolloutProgress(stream=out, clock=Clock())
    with progress.observed(shown._report_work), progress.work("test problems", rows=5):
        progress.began(5)
    shown.print("accuracy 0.5")
    shown._show([Cell("step 3/9")])
    shown._report_work(Work("encoding", rows=4, over=True))  # none of whose lines stands
    shown.print("a sample")
    *_, last = out.getvalue().split("test problems")
    assert last.replace("\r\x1b[2K", "\r") == " 0/5 rows\r\raccuracy 0.5\n\rstep 3/9\ra sample\nstep 3/9"


def test_a_run_that_fails_leaves_no_work_behind():
    out = Terminal()
    shown = RolloutProgress(stream=out)
    validation = SimpleNamespace(steps=[[1, 2], [3]])
    trainer = SimpleNamespace(is_global_zero=True, val_dataloaders=validation, datamodule=SimpleNamespace())
    shown.setup(trainer, None, "fit")
    shown.on_validation_start(trainer, None)
    assert [work.rows for work in seen_of(lambda: progress.began(2))] == [3]
    shown.on_exception(trainer, None, RuntimeError())
    assert seen_of(lambda: progress.began(2)) == []

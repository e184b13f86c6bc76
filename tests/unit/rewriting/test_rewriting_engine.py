"""The loop with a writer to order: attempts, failures, stopping, going on."""

import asyncio
import signal

import pytest
from scripted import Scripted

from igpo_lightning.asking import TRUNCATED
from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting import Reply, Unanswered
from igpo_lightning.rewriting.engine import Rewriter
from igpo_lightning.rewriting.journal import Journal
from igpo_lightning.rewriting.progress import Progress
from igpo_lightning.rewriting.report import figures
from igpo_lightning.rewriting.run import recall, rewritable
from igpo_lightning.types import Problem


def right(id, attempt):
    return Reply(f"So \\boxed{{{int(id.split('/')[1]) + 1}}}", "stop", 10, 3)


def wrong(id, attempt):
    return Reply("So \\boxed{99}", "stop", 10, 3)


@pytest.fixture
def session(tmp_path, rules, judge, problems, capsys):
    """``session(writer, act=None, **options)``: one start over all problems; returns (traces, rewriter)."""

    def start(writer, act=None, **options):
        journal = Journal(tmp_path)
        traces = recall(problems, journal)
        progress = Progress(lambda: figures(traces, options.get("attempts", 2)), 60)
        rewriter = Rewriter(writer, rules, judge, journal, progress, **options)

        async def main():
            acting = asyncio.create_task(act(writer, rewriter)) if act else None
            await rewriter.run(traces)
            if acting:
                await acting

        asyncio.run(main())
        rewriter.figures = progress.figures()
        return traces, rewriter

    return start


def outcomes(traces):
    return [trace.reason() for trace in traces]


def test_every_trace_is_asked_once_if_the_first_answer_is_good(session):
    writer = Scripted(right)
    traces, rewriter = session(writer)
    assert [trace.text for trace in traces] == [f"So \\boxed{{{i + 1}}}" for i in range(6)]
    assert set(writer.asked.values()) == {1} and writer.closed
    counts = ("kept", "answers", "prompt_tokens", "completion_tokens")
    assert [rewriter.figures[name] for name in counts] == [6, 6, 60, 18]


@pytest.mark.parametrize(
    "thoughts", ["<think>\nIs it \\boxed{99}?\n</think>\n\n", "It may be \\boxed{99}. </think>"]
)
def test_thoughts_are_not_part_of_a_rewrite(session, thoughts):
    """As reasoning models answer where the server has no parser for it, with and without the first tag."""
    writer = Scripted(lambda *which: Reply(thoughts + right(*which).text, "stop", 10, 30))
    traces, rewriter = session(writer)
    assert [trace.text for trace in traces] == [f"So \\boxed{{{i + 1}}}" for i in range(6)]
    assert rewriter.figures["completion_tokens"] == 180


@pytest.mark.parametrize("text", ["<think>\nIt is \\boxed{1}, so", ""])
def test_thoughts_that_were_cut_off_are_no_rewrite(session, text):
    """Servers with such a parser send nothing then."""
    traces, _ = session(Scripted(lambda *_: Reply(text, TRUNCATED, 10, 30)), attempts=1)
    assert outcomes(traces) == ["cut off"] * 6


def test_a_rejected_rewrite_gets_another_try_and_is_told_why(session):
    writer = Scripted(lambda id, attempt: right(id, attempt) if attempt == 2 else wrong(id, attempt))
    traces, rewriter = session(writer)
    assert outcomes(traces) == [None] * 6 and set(writer.asked.values()) == {2}
    second = next(ask for ask in writer.asks if ask.id == "toy/3" and ask.attempt == 2)
    assert "Rejected: its final answer is '99', but the right one is '4'." in second.user
    assert second.user.endswith("Then: So \\boxed{99}")
    assert rewriter.figures["answers_turned_down"] == {"wrong answer": 6}


def test_attempts_end_and_can_be_raised_later(session):
    writer = Scripted(lambda id, attempt: right(id, attempt) if attempt == 3 else wrong(id, attempt))
    traces, rewriter = session(writer)
    assert outcomes(traces) == ["wrong answer"] * 6
    assert rewriter.figures["rejected"] == {"wrong answer": 6}
    traces, rewriter = session(writer, attempts=3)
    assert outcomes(traces) == [None] * 6 and set(writer.asked.values()) == {3}
    assert (rewriter.figures["unanswered"], rewriter.figures["answers"]) == (0, 18)


def test_a_finished_rewriting_asks_nothing(session):
    session(Scripted(right))
    writer = Scripted(wrong)
    traces, _ = session(writer)
    assert outcomes(traces) == [None] * 6 and not writer.asks


def test_no_more_than_concurrency_are_in_flight(session):
    writer = Scripted(right, concurrency=3)
    seen = []

    async def act(writer, rewriter):
        writer.hold.clear()
        await asyncio.sleep(0.05)
        seen.append(len(writer.asks))
        writer.hold.set()

    session(writer, act)
    assert seen == [3]


def test_traces_that_fit_may_stay_as_they_are(session):
    writer = Scripted(right)
    traces, rewriter = session(writer, keep_fitting=True)
    assert [trace.text == trace.problem.trace for trace in traces] == [True, False] * 3
    assert outcomes(traces) == [None] * 6
    assert set(writer.asked) == {"toy/1", "toy/3", "toy/5"} and rewriter.figures["kept_unchanged"] == 3


def test_a_request_without_an_answer_is_asked_again_next_time_only(session):
    broken = Scripted(lambda id, attempt: Unanswered("busy") if id == "toy/2" else right(id, attempt))
    traces, rewriter = session(broken)
    assert outcomes(traces) == [None, None, "no answer", None, None, None]
    assert (traces[2].failure, rewriter.figures["unanswered"], rewriter.error) == ("busy", 1, None)
    assert broken.asked["toy/2"] == 1
    traces, rewriter = session(writer := Scripted(right))
    assert outcomes(traces) == [None] * 6 and dict(writer.asked) == {"toy/2": 1}


def test_an_endpoint_that_is_down_is_given_up(session):
    writer = Scripted(lambda id, attempt: Unanswered("connection refused"), concurrency=1)
    traces, rewriter = session(writer, max_failures=3)
    assert str(rewriter.error) == "3 requests in a row got no answer, the last one: connection refused"
    assert len(writer.asks) == 3 and outcomes(traces) == ["no answer"] * 6


def test_failures_in_between_do_not_add_up(session):
    writer = Scripted(
        lambda id, attempt: Unanswered("x") if id in ("toy/0", "toy/2", "toy/4") else right(id, attempt),
        concurrency=1,
    )
    _, rewriter = session(writer, max_failures=2)
    assert rewriter.error is None and rewriter.figures["requests_failed"] == 3


def test_a_fatal_failure_stops_at_once(session):
    writer = Scripted(lambda id, attempt: Unanswered("401 wrong key", fatal=True), concurrency=1)
    _, rewriter = session(writer)
    assert str(rewriter.error) == "the endpoint refuses: 401 wrong key" and len(writer.asks) == 1


def test_stopping_waits_for_what_is_in_flight(session, capsys):
    writer = Scripted(right, concurrency=2)

    async def act(writer, rewriter):
        writer.hold.clear()
        await asyncio.sleep(0.05)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        writer.hold.set()

    traces, rewriter = session(writer, act)
    assert outcomes(traces) == ["not judged yet"] * 2 + ["no answer"] * 4
    assert len(writer.asks) == 2 and rewriter.signal == signal.SIGTERM
    assert "waiting up to 60 s for 2 requests in flight" in capsys.readouterr().out
    traces, rewriter = session(writer)  # the answers were journalled
    assert outcomes(traces) == [None] * 6 and set(writer.asked.values()) == {1}


@pytest.mark.parametrize(("grace", "twice"), [(0.05, False), (60, True)])
def test_stopping_does_not_wait_for_ever(session, grace, twice):
    async def act(writer, rewriter):
        writer.hold.clear()
        await asyncio.sleep(0.05)
        for _ in range(1 + twice):
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.02)

    traces, rewriter = session(Scripted(right), act, grace=grace)
    assert outcomes(traces) == ["no answer"] * 6 and rewriter.signal == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_asks_that_wait_for_their_turn_are_dropped_when_stopping(session):
    async def act(writer, rewriter):
        writer.door.clear()
        await asyncio.sleep(0.05)
        rewriter.stop()

    writer = Scripted(right)
    session(writer, act)
    assert not writer.asks


def test_an_answer_without_a_verdict_is_judged_and_not_asked_again(session, tmp_path):
    session(Scripted(right))
    path = tmp_path / "journal.jsonl"
    lines = [line for line in path.read_text().splitlines() if '"answer"' in line]
    path.write_text("\n".join(lines) + "\n")
    traces, _ = session(writer := Scripted(wrong))
    assert outcomes(traces) == [None] * 6 and not writer.asks


def test_a_problem_that_changed_under_its_id_is_refused(session, problems):
    session(Scripted(right))
    problems[3] = type(problems[3])("toy/3", "Another?", "Yes.", "yes")
    with pytest.raises(ConfigError, match="the data has changed: problem 'toy/3'"):
        session(Scripted(right))


def test_a_bug_is_not_swallowed(session):
    with pytest.raises(ZeroDivisionError):
        session(Scripted(lambda id, attempt: 1 / 0))


def test_what_lacks_a_trace_or_an_answer_is_left_out_and_counted(problems):
    bare = [Problem("a", "Q", "", "1"), Problem("b", "Q", "\n ", "1"), Problem("c", "Q", "```x```", "")]
    assert rewritable([*bare, *problems]) == (problems, {"no trace": 2, "no answer": 1})
    assert rewritable([]) == ([], {})
    with pytest.raises(ConfigError, match=r"no trace is left to rewrite; left out: 2 no trace, 1 no answer$"):
        rewritable(bare)

"""The rewriter as a program, against an endpoint on this machine: results, refusals, kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from openai_server import Response, boxed, serving

from igpo_lightning.data.tokenizers import train_bpe
from igpo_lightning.locks import locked
from igpo_lightning.rewrite import main

pytest.importorskip("openai")
pytest.importorskip("aiolimiter")

ROWS = 40


def script(call):
    """Most rewrites are good; 1 in 5 is wrong at first, 1 in 8 always, 1 in 10 cut off at first."""
    number = int(call.question.split()[-1])
    again = "it was not accepted" in call.body["messages"][-1]["content"]
    if number % 8 == 3 or (number % 5 == 1 and not again):
        return Response("So \\boxed{1000}", delay=0.02)
    if number % 10 == 4 and not again:
        return Response("Well,", finish="length", delay=0.02)
    return Response(f"Twice {number} is \\boxed{{{call.answer}}}.", delay=0.02)


KEPT = [n for n in range(ROWS) if n % 8 != 3]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A tokenizer, and problems with verbose traces; the last one has none."""
    folder = tmp_path_factory.mktemp("rewrite")
    train_bpe(["x"], 259).save_pretrained(folder / "tokenizer")
    rows = [
        {
            "prompt": f"Twice {n}",
            "trace": f"Hmm, wait. {'Let me think again. ' * (n % 7)}So 2 * {n} = {2 * n}.",
            "answer": str(2 * n),
            "level": n % 3,
        }
        for n in range(ROWS)
    ]
    rows.append({"prompt": f"Twice {ROWS}", "trace": None, "answer": str(2 * ROWS)})  # nothing is asked of it
    heldout = [{"prompt": "Held out", "trace": "\\boxed{1}", "answer": "1"}]
    for name, content in (("train", rows), ("heldout", heldout)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return folder


def overrides(files: Path, url: str, output: Path) -> list[str]:
    return [
        "data=jsonl",
        f"data.train_path={files / 'train.jsonl'}",
        f"data.heldout_path={files / 'heldout.jsonl'}",
        "data.val_size=0",
        f"tokenizer={files / 'tokenizer'}",
        "length=48",
        "prompt=plain",
        f"output_dir={output}",
        "rewriter.model=m",
        f"rewriter.base_url={url}",
        "rewriter.api_key_env=null",
        "rewriter.concurrency=4",
        "rewriter.max_retries=1",
        "prices.input=1",
        "prices.output=10",
    ]


@pytest.fixture
def program(files, tmp_path, monkeypatch, capfd):
    """``program(url, *more)`` runs it in this process: (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(url, *more):
        quiet = "hydra/hydra_logging=none"  # handlers would outlive this test
        monkeypatch.setattr(sys, "argv", ["rewrite", *overrides(files, url, tmp_path / "out"), quiet, *more])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return run


def rows(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_a_whole_rewriting(program, tmp_path):
    with serving(script) as endpoint:
        status, out, _ = program(endpoint.url)
    assert status == 0 and "rows left out: 1 no trace\n" in out
    concise, rejected = rows(tmp_path / "out", "concise"), rows(tmp_path / "out", "rejected")
    assert concise == [
        {"id": f"jsonl/train/{n}", "prompt": f"Twice {n}", "trace": f"Twice {n} is \\boxed{{{2 * n}}}.",
         "answer": str(2 * n), "level": n % 3}
        for n in KEPT
    ]  # fmt: skip
    assert [row["reason"] for row in rejected] == ["wrong answer"] * 5
    assert {row["attempts"] for row in rejected} == {2}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    requests = len(endpoint.calls)
    assert (summary["finished"], summary["kept"], summary["answers"]) == (True, 35, requests)
    assert requests == ROWS + len([n for n in range(ROWS) if n % 8 == 3 or n % 5 == 1 or n % 10 == 4])
    assert summary["cost_usd"] == pytest.approx(requests * (100 * 1 + 20 * 10) / 1e6)
    assert len(summary["settings"]["rules (sha256)"]) == 64
    assert summary["provenance"]["packages"]["transformers"]
    assert "40/40 traces | kept 88% | " in out and "$0.0" in out
    report = (tmp_path / "out" / "report.md").read_text()
    assert "5 wrong answer" in report and "Hmm, wait." in report
    assert (tmp_path / "out" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # Hydra leaves nothing


@pytest.mark.slow
def test_a_limit_can_be_raised_and_a_finished_one_needs_no_endpoint(program, tmp_path, monkeypatch):
    concise = tmp_path / "out" / "concise.jsonl"
    with serving(script) as endpoint:
        program(endpoint.url, "limit=5")
        first = {call.question for call in endpoint.calls}
        assert len(rows(tmp_path / "out", "concise")) == len([n for n in KEPT if n < 5])
        program(endpoint.url, "limit=9")
        assert {f"Twice {n}" for n in range(9)} == {call.question for call in endpoint.calls}
        assert len(first) == 5 and len(endpoint.calls) == 9 + len([0 for n in range(9) if n in (1, 3, 4, 6)])
    before = concise.read_bytes()
    assert before.count(b"\n") == len([n for n in KEPT if n < 9])
    concise.unlink()
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    status, _, _ = program("http://127.0.0.1:9/v1", "limit=9", "rewriter.api_key_env=NO_SUCH_KEY")
    assert status == 0 and concise.read_bytes() == before


OTHER = {
    "rewriter.model=other": "rewriter.model was m, now other",
    "length=47": "length was 48, now 47",
    "rules.retry='Again: {reason}'": "rules (sha256) was ",
    "data.source.train_size=5": "data.source.train_size was null, now 5",
}


@pytest.mark.slow
def test_other_settings_in_the_same_folder_are_refused(program, tmp_path):
    with serving(script) as endpoint:
        program(endpoint.url, "limit=2")
        before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        asked = len(endpoint.calls)
        for change, said in OTHER.items():
            status, _, err = program(endpoint.url, change)
            assert status == 2 and err.count("\n") == 1
            assert said in err and "made with other settings" in err and "name another folder" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert len(endpoint.calls) == asked


def test_a_foreign_file_is_not_written_over(program, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "concise.jsonl").write_text("mine\n")
    status, _, err = program("http://127.0.0.1:9/v1")
    assert status == 2 and "it holds a concise.jsonl without settings.json" in err
    assert (tmp_path / "out" / "concise.jsonl").read_text() == "mine\n"


def test_two_processes_do_not_share_a_folder(program, tmp_path):
    with locked(tmp_path / "out"):
        status, _, err = program("http://127.0.0.1:9/v1")
    assert status == 2 and "has been at work in it since" in err and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("before", [0, 2])
def test_a_start_whose_requests_all_failed_has_failed(program, tmp_path, before):
    once = ("rewriter.max_retries=0", "max_failures=20")
    if before:
        with serving(boxed) as endpoint:
            assert program(endpoint.url, *once, f"limit={before}")[0] == 0
    with serving(lambda call: Response("overloaded", 503)) as endpoint:
        status, _, err = program(endpoint.url, *once, f"limit={before + 3}")
    assert status == 2 and "all 3 requests got no answer, the last one:" in err and "overloaded" in err
    assert f"{before} of {before + 3} traces are done; to go on, repeat the command" in err
    assert len(rows(tmp_path / "out", "concise")) == before


def test_an_endpoint_that_is_down_ends_it_with_one_line_and_the_results_so_far(program, tmp_path):
    def dying(call):
        return boxed(call) if int(call.question.split()[-1]) < 8 else Response("gone", 503)

    with serving(dying) as endpoint:
        status, _, err = program(
            endpoint.url, "max_failures=5", "rewriter.max_retries=0", "rewriter.concurrency=1", "limit=20"
        )
    assert status == 2 and "5 requests in a row got no answer, the last one:" in err and "gone" in err
    assert "8 of 20 traces are done; to go on, repeat the command" in err
    assert len(rows(tmp_path / "out", "concise")) == 8
    assert [row["reason"] for row in rows(tmp_path / "out", "rejected")] == ["no answer"] * 12


@pytest.mark.parametrize(("change", "said"), [
    ("rewriter.modle=x", "unknown key 'rewriter.modle'; did you mean rewriter.model?"),
    ("attempts=0", "attempts=0: expected a whole number of at least 1"),
    ("limit=0", "limit=0: expected a whole number of at least 1"),
    ("tokenizer=nowhere", "tokenizer=nowhere: cannot load it; give the folder or hub id"),
    ("rewriter.base_url=localhost", "rewriter.base_url=localhost: expected something like http"),
    ("rules.user=Shorten", "rules.user: it must contain {question}"),
])  # fmt: skip
def test_settings_that_cannot_work(program, tmp_path, change, said):
    status, _, err = program("http://127.0.0.1:9/v1", change)
    assert status == 2 and said in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- kills


def started(files, url, output, *more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "igpo_lightning.rewrite", *overrides(files, url, output), *more],
        cwd=output.parent,
        env={**os.environ, "HYDRA_FULL_ERROR": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def journalled(output: Path) -> set[tuple[str, int]]:
    """(id, attempt) of the answers in the journal, whole lines only."""
    path = output / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    records = [json.loads(line) for line in lines]
    return {(record["id"], record["attempt"]) for record in records if record["kind"] == "answer"}


def asked(call) -> tuple[str, int]:
    again = "it was not accepted" in call.body["messages"][-1]["content"]
    return f"jsonl/train/{call.question.split()[-1]}", 1 + again


def interrupted(files, output: Path, stops: list[tuple[int, signal.Signals]]) -> list[tuple[int, str]]:
    """Stop it when the endpoint has had so many requests, by that signal, and so on; then let it finish.

    Returns:
        (exit status, standard output) of every start.
    """
    ends = []
    with serving(script) as endpoint:
        known: set[tuple[str, int]] = set()
        for requests, number in [*stops, (None, None)]:
            process, before = started(files, endpoint.url, output), len(endpoint.calls)
            while number and len(endpoint.calls) < requests and process.poll() is None:
                time.sleep(0.001)
            if number:
                process.send_signal(number)
            out, err = process.communicate(timeout=240)
            assert "Traceback" not in err, err
            ends.append((process.returncode, out))
            time.sleep(0.05)  # what the endpoint is still reading
            assert not known & {asked(call) for call in endpoint.calls[before:]}
            known = journalled(output)
            if number == signal.SIGKILL and known:
                with (output / "journal.jsonl").open("ab") as file:  # as if it had struck while writing
                    file.write(b'{"kind": "answer", "id": "jsonl/tr')
        assert len(endpoint.calls) <= len(known) + 4 * len(stops)  # only what was in flight is asked twice
    return ends


def check_complete(files, output: Path, tmp_path: Path, program) -> None:
    """It has what an uninterrupted rewriting has."""
    assert len(rows(output, "concise")) + len(rows(output, "rejected")) == ROWS
    with serving(script) as endpoint:
        assert program(endpoint.url)[0] == 0
    for name in ("concise.jsonl", "rejected.jsonl"):
        assert (output / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


@pytest.mark.slow
def test_killed_interrupted_and_repeated_it_pays_nothing_twice(files, tmp_path, program):
    output = tmp_path / "stopped"
    ends = interrupted(files, output, [(9, signal.SIGKILL), (30, signal.SIGINT)])
    assert [status for status, _ in ends] == [-signal.SIGKILL, 130, 0]
    assert "journal.jsonl was torn: its 34 bytes are cut" in ends[1][1]
    assert "to go on, repeat the command" in ends[1][1] and "going on: " in ends[2][1]
    check_complete(files, output, tmp_path, program)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_many_moments(files, tmp_path, program):
    output = tmp_path / "stopped"
    moments = [(n, signal.SIGKILL) for n in (1, 6, 12, 19, 25, 32, 38, 44)]  # more than four apart
    ends = interrupted(files, output, [*moments, (51, signal.SIGTERM)])
    assert {status for status, _ in ends[:-2]} == {-signal.SIGKILL} and ends[-2][0] == ends[-1][0] == 0
    check_complete(files, output, tmp_path, program)

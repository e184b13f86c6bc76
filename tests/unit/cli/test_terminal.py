"""What the programs owe the terminal, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import igpo_lightning
from igpo_lightning.__main__ import PROGRAMS, listing

ROOT = Path(igpo_lightning.__file__).parents[1]


def run(*arguments: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, **options
    )


GUARDED = """
import sys
from igpo_lightning.cli.terminal import guarded

@guarded
def main():
    {body}

main()
"""


def guarded(body: str, **options) -> subprocess.CompletedProcess:
    return run("-c", GUARDED.format(body=body), **options)


def test_a_reader_that_has_gone_ends_the_program_without_a_word():
    body = "exec('while True: print(0)')"
    command = [sys.executable, "-c", GUARDED.format(body=body)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


def test_a_traceback_printer_in_between_changes_nothing():
    catching = (
        "import logging; logging.basicConfig(stream=sys.stdout)\n"
        "    while True:\n"
        "        try: logging.error('x')\n"
        "        except Exception: raise SystemExit(1)"
    )
    command = [sys.executable, "-c", GUARDED.format(body=catching)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "a -> b +/- ?"), ("latin-1", "a -> b ± ?"), ("utf-8", "a → b ± 答")]
)
def test_any_console_shows_what_it_can(encoding, shown):
    done = guarded("print('a → b ± 答')", env={"PYTHONIOENCODING": encoding}, encoding=encoding)
    assert (done.stdout, done.returncode) == (shown + "\n", 0)


def test_bad_input_an_interrupt_and_a_bug_have_their_codes():
    refused = guarded("from igpo_lightning.checks import ConfigError; raise ConfigError('a\\nb → c')")
    assert (refused.returncode, refused.stderr) == (2, "error: a b → c\n")
    interrupted = guarded("raise KeyboardInterrupt")
    assert (interrupted.returncode, interrupted.stderr) == (130, "interrupted\n")
    assert guarded("raise ZeroDivisionError").returncode == 1
    assert guarded("sys.exit(7)").returncode == 7


def test_the_package_lists_its_programs():
    scripts = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[2]
    installed = [line.partition(" ")[0] for line in scripts.partition("\n[")[0].split("\n") if "=" in line]
    assert sorted(installed) == sorted(f"igpo-{name}" for name in PROGRAMS)
    for name in PROGRAMS:
        assert listing().count(f"  python -m igpo_lightning.{name} ") == 1
    done = run("-m", "igpo_lightning")
    assert (done.returncode, done.stdout) == (0, listing() + "\n")
    wrong = run("-m", "igpo_lightning", "evaluate")
    assert (wrong.returncode, wrong.stderr) == (
        2, "error: evaluate: did you mean python -m igpo_lightning.evaluate?\n"
    )  # fmt: skip

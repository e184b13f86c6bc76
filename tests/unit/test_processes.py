"""Processes that can't find each other say why, and none outlives the first one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.distributed as dist

import igpo_lightning
from igpo_lightning import processes
from igpo_lightning.errors import ConfigError
from igpo_lightning.processes import connecting

ROOT = Path(igpo_lightning.__file__).parents[1]

# A program whose first process starts another as Lightning does, and then waits to be killed.
PROGRAM = """
import os, subprocess, sys, time
from types import SimpleNamespace
from igpo_lightning.processes import connecting, stay_with_first

stay_with_first()
if os.environ.get("LOCAL_RANK") is None:
    with connecting(SimpleNamespace(world_size=2)):
        other = subprocess.Popen([sys.executable, __file__], env={**os.environ, "LOCAL_RANK": "1"})
    print(other.pid, flush=True)
time.sleep(600)
"""


class Launcher:
    """Notes what it is told to end its processes with."""

    def __init__(self):
        self.signals = []

    def kill(self, signum):
        self.signals.append(signum)


@pytest.fixture
def trainer(monkeypatch):
    for name in ("LOCAL_RANK", "IGPO_FIRST_PROCESS", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that what the code sets is undone, too
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    return SimpleNamespace(world_size=2, strategy=SimpleNamespace(launcher=Launcher()))


def test_a_port_in_use_is_named_and_the_other_processes_are_ended(trainer, monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        with pytest.raises(ConfigError) as refusal, connecting(trainer):
            dist.init_process_group("gloo", rank=0, world_size=2)
    assert str(refusal.value) == (
        f"MASTER_PORT={port}: another program on this machine listens there; unset it, or name a free port"
    )
    assert trainer.strategy.launcher.signals == [signal.SIGKILL]


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", ""])
def test_what_is_no_port(trainer, monkeypatch, port):
    monkeypatch.setenv("MASTER_PORT", port)
    expected = f"^MASTER_PORT={port}: expected a number from 1 to 65535"
    with pytest.raises(ConfigError, match=expected), connecting(trainer):
        raise AssertionError("not reached")


def other(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise SystemExit(2)", 2, "process 2 ended by exit code 2; what it said stands above"),
        ("import os, time; time.sleep(0.3); os.kill(os.getpid(), 9)", 137, "process 2 ended by signal 9"),
    ],
)
def test_an_error_that_follows_from_another_process_is_one_line_and_its_exit_code(
    trainer, capsys, code, status, said
):
    lasting = other("import time; time.sleep(60)")
    trainer.strategy.launcher.procs = [lasting, other(code)]
    with pytest.raises(SystemExit) as ended, connecting(trainer):
        raise RuntimeError("Connection closed by peer")
    lasting.kill()
    assert ended.value.code == status
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize("error", [RuntimeError("mine"), ValueError("mine"), ConfigError("mine")])
def test_an_error_of_its_own_is_told(trainer, monkeypatch, error):
    monkeypatch.setattr(processes, "_GRACE", 0.2)
    lasting = other("import time; time.sleep(60)")
    trainer.strategy.launcher.procs = [lasting]
    with pytest.raises(type(error), match="mine"), connecting(trainer):
        raise error
    lasting.kill()


ERROR = """
import os, subprocess, sys, time
from igpo_lightning.cli.terminal import refuse
from igpo_lightning.errors import ConfigError
first = os.environ.get("LOCAL_RANK") is None
if first:
    os.environ["IGPO_FIRST_PROCESS"] = str(os.getpid())
    subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "LOCAL_RANK": "1"})
if first:
    time.sleep(float(sys.argv[1]))
refuse(ConfigError("a bad row"))
"""


@pytest.mark.parametrize(("seconds", "times"), [(0.5, 1), (4, 2)])
def test_an_error_of_all_processes_is_told_once_and_that_of_one_is_told_too(tmp_path, seconds, times):
    """The first process comes upon it so many seconds after the other."""
    (tmp_path / "program.py").write_text(ERROR)
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "IGPO_FIRST_PROCESS")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(tmp_path / "program.py"), str(seconds)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as first:
        said = first.stderr.read()  # until both have ended
    assert first.returncode == 2
    assert said.count("error: a bad row") == times


def test_one_process_needs_no_port(trainer, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "http")
    with connecting(SimpleNamespace(world_size=1)):
        pass
    assert "IGPO_FIRST_PROCESS" not in os.environ


def test_processes_of_a_launcher_are_left_to_it(trainer, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    with connecting(trainer):
        assert "IGPO_FIRST_PROCESS" not in os.environ


def test_the_others_end_with_the_first_process_even_if_it_is_killed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "MASTER_PORT")}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as first:
        other = int(first.stdout.readline())
        assert _alive(other)
        first.kill()
        for _ in range(600):
            if not _alive(other):
                return
            time.sleep(0.1)
    os.kill(other, signal.SIGKILL)
    raise AssertionError("it was left behind")


def _alive(pid: int) -> bool:
    """Whether the process runs: one that has ended may stay in the table until someone asks for its code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

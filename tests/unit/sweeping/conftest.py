from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

import igpo_lightning
from igpo_lightning import cli
from igpo_lightning.config import find_conf

JOBS = '''
"""What a job does: it notes its process, then ends as ``raises`` says if ``only`` is its seed."""
import os
from pathlib import Path
from igpo_lightning.checks import ConfigError

def run(cfg):
    with open(cfg.log, "a") as file:
        print(cfg.seed, cfg.resume, os.getpid(), file=file)
    kind = (cfg.raises or "").strip() if cfg.only in (None, cfg.seed) else ""
    if kind and Path(kind).exists():
        kind = Path(kind).read_text()
    if kind == "config":
        raise ConfigError("data.jsonl:3: not JSON")
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind.startswith("exit"):
        raise SystemExit(int(kind[4:]))
    return cfg.seed / 10
'''


class Program:
    """A small program that sweeps, run in this process: ``program("-m", "seed=1,2")`` gives its exit code."""

    def __init__(self, folder: Path, main: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.main, self.monkeypatch = folder, main, monkeypatch

    def __call__(self, *arguments: str) -> int:
        (self.folder / "log").write_text("")
        self.monkeypatch.setattr(sys, "argv", ["program", *arguments])
        try:
            self.main()
        except SystemExit as stop:
            return stop.code
        return 0

    @property
    def ran(self) -> list[str]:
        """(seed, resume) of the jobs that the last command ran."""
        return [line.rpartition(" ")[0] for line in (self.folder / "log").read_text().splitlines()]

    @property
    def processes(self) -> list[int]:
        return [int(line.split()[-1]) for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture
def program(conf_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    shutil.copytree(find_conf() / "sweep", conf_tree / "sweep")
    (tmp_path / "jobs_of_a_test.py").write_text(JOBS)
    main_config = conf_tree / "train.yaml"
    text = main_config.read_text().replace("  - experiment", "  - sweep: basic\n  - experiment")
    main_config.write_text(
        text + f"resume: null\nraises: null\nonly: null\nlog: {tmp_path}/log\ndry_run: false\n"
        f"hydra: {{env: {{folder: {{'True': {tmp_path}/dry}}}}}}\n"
        "hardware: {accelerator: cpu, devices: 1, num_nodes: 1, strategy: auto}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(igpo_lightning.__file__).parents[1]}")
    monkeypatch.setattr("igpo_lightning.cli.program.find_conf", lambda: conf_tree)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    yield Program(tmp_path, cli.entry("train", "jobs_of_a_test:run"), monkeypatch)
    sys.modules.pop("jobs_of_a_test", None)

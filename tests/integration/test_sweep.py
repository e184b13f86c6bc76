"""Sweeps of real training runs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = [
    "algo=sft", "model=tiny", "model.create.hidden_size=16", "model.create.layers=1", "model.create.heads=2",
    "model.create.mlp_size=16", "algo.steps=2", "algo.batch_size=4", "algo.validate_every=2",
    "data.val_size=4", "data.test_size=4", "report=false", "callbacks=none",
]  # fmt: skip


def sweep(folder: Path, *overrides: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "igpo_lightning.train", "-m", "sweep_dir=s", *SMALL, *overrides]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_one_job_fails_the_other_is_kept_and_both_are_collected(tmp_path):
    command = ["+algo.optimizer.eps=1e-8,-1.0"]  # AdamW refuses the second
    first = sweep(tmp_path, *command)
    assert first.returncode == 1
    assert ": 1 done, 1 failed\n" in first.stdout
    assert "eps--1.0_" in first.stderr.splitlines()[-1]
    assert "ValueError: Invalid epsilon" in first.stderr.splitlines()[-1]

    again = sweep(tmp_path, *command)
    assert again.returncode == 1
    assert ": 1 done before, 1 failed\n" in again.stdout

    collected = subprocess.run(
        [sys.executable, "-m", "igpo_lightning.collect", "s"], cwd=tmp_path, capture_output=True, text=True
    )
    assert collected.returncode == 0, collected.stderr
    with (tmp_path / "s" / "sweep_jobs.csv").open() as file:
        rows = [(row["job"][:-7], row["state"], bool(row["accuracy"])) for row in csv.DictReader(file)]
    assert rows == [("eps--1.0", "failed", False), ("eps-1e-08", "done", True)]
    assert "1 of 2 jobs are not finished" in collected.stdout


@pytest.mark.slow
def test_two_devices_under_the_basic_launcher(tmp_path):
    """Lightning repeats the command line for the second process: it must be the job's, not the sweep's."""
    done = sweep(tmp_path, "hardware=cpu_ddp", "seed=0", "algo.batch_size=2")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "s").glob("*/summary.json"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s"]  # no folder of a second process


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "plugin"), [("joblib", "hydra_joblib_launcher"), ("submitit_local", "hydra_submitit_launcher")]
)
def test_local_launchers(tmp_path, name, plugin):
    pytest.importorskip(f"hydra_plugins.{plugin}")
    done = sweep(tmp_path, f"sweep={name}", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "s").glob("*/summary.json"))) == 2
    assert len(list((tmp_path / "s").glob("*/log.txt"))) == 2  # not all on one console

"""The program as a user runs it, at the smallest size."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from fakes import TINY, TINY_RL, compose, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.reporting.run import read_run
from igpo_lightning.stopping import Stopped
from igpo_lightning.training.checkpoint_files import numbered
from igpo_lightning.training.run import run
from igpo_lightning.training.warm_start import config_of

SIZES = [o for o in TINY if not o.startswith(("logger", "callbacks"))]
WARM_START = 'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]'


def program(folder, *overrides):
    """``python -m igpo_lightning.train`` in an empty folder."""
    command = [
        sys.executable,
        "-m",
        "igpo_lightning.train",
        f"hydra.run.dir={folder / 'run'}",
        *SIZES,
        *overrides,
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "0"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_one_command_from_nothing_to_a_report(tmp_path):
    done = program(
        tmp_path,
        "algo=igpo",
        "model=tiny",
        *TINY_RL,
        WARM_START,
        "callbacks.samples.every_n_rollouts=1",
        "callbacks.checkpoint.every=1",
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    for name in (
        "config.yaml",
        "provenance.json",
        "samples.jsonl",
        "summary.json",
        "report.png",
        "report.md",
        "report.html",
    ):
        assert (folder / name).stat().st_size > 0, name
    for stage in (folder, folder / "sft"):
        assert (stage / "metrics" / "metrics.csv").is_file()
        assert numbered(stage / "checkpoints")[0].name == "update-00000004.ckpt"
        assert (stage / "model" / "model.safetensors").is_file() and (stage / "config.yaml").is_file()
    stages = json.loads((folder / "summary.json").read_text())["stages"]
    assert [s["name"] for s in stages] == ["sft", "igpo"]
    assert [s["updates"] for s in stages] == [4, 4]  # four batches; two rollouts of two passes
    assert stages[1]["completions"] >= 2 * 4 * 4
    assert stages[0]["accuracy_after"] == stages[1]["accuracy_before"]  # the weights were handed on
    columns = (folder / "metrics" / "metrics.csv").read_text().splitlines()[0].split(",")
    for name in (
        "rollout/reward",
        "rollout/all_wrong_before",
        "rollout/all_wrong_after",
        "train/kl",
        "val/accuracy",
    ):
        assert name in columns
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {s["rollout"] for s in samples} == {0, 1}
    assert "rollout 2/2" in done.stdout
    assert "Traceback" not in done.stderr


def test_lora_on_a_saved_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_policy().save(tmp_path / "base")
    lora = "{rank: 2, alpha: 4, targets: [q_proj, down_proj]}"
    cfg = compose(
        tmp_path / "run",
        "algo=grpo",
        *TINY_RL,
        f"model.path={tmp_path / 'base'}",
        f"model.lora={lora}",
        "logger=csv",
    )
    accuracy = run(cfg)
    assert 0 <= accuracy <= 1
    adapter = tmp_path / "run" / "model"
    assert (adapter / "adapter_model.safetensors").is_file() and not (adapter / "model.safetensors").exists()
    tokens = torch.arange(4, 16)[None]
    assert load_policy(str(adapter))(tokens).shape[-1] == len(tiny_policy().tokenizer)
    stages = read_run(tmp_path / "run").stages
    assert [(s.stage.name, s.stage.updates) for s in stages] == [("grpo", 4)]


def test_nothing_is_written_over_and_nothing_is_done_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = ("algo=igpo", *TINY_RL, WARM_START, "logger=csv")
    run(compose(tmp_path / "run", *settings))
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    sft = (tmp_path / "run" / "sft" / "model" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(ConfigError, match="holds a run already; go on with it by resume=auto"):
        run(compose(tmp_path / "run", *settings))
    run(compose(tmp_path / "run", *settings, "resume=auto"))
    assert (tmp_path / "run" / "sft" / "model" / "model.safetensors").stat().st_mtime_ns == sft
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights
    stages = read_run(tmp_path / "run").stages
    assert [(s.stage.name, s.stage.folder) for s in stages] == [("sft", "sft"), ("igpo", ".")]


def test_a_run_that_keeps_no_metrics_ends_well(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ("algo=sft", "algo.steps=2", "algo.batch_size=8", "algo.validate_every=1", "logger=none")
    assert run(compose(tmp_path / "run", *settings)) is not None
    assert (
        "no report: " in (said := capsys.readouterr().out)
        and "the run kept no metrics (logger=csv does)" in said
    )
    run(compose(tmp_path / "run", *settings, "resume=auto"))
    assert "this run is finished" in capsys.readouterr().out


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, None])
@pytest.mark.parametrize("place", ["alone", "s/seed-3_abc"])
def test_a_run_that_is_stopped_says_how_it_goes_on_and_a_job_leaves_that_to_its_sweep(
    tmp_path, monkeypatch, capsys, by, place
):
    def stops(cfg, folder):
        (folder / "provenance.json").touch()
        raise KeyboardInterrupt if by is None else Stopped("stopped after update 5", by)

    monkeypatch.setattr("igpo_lightning.training.run._run_stages", stops)
    with pytest.raises(SystemExit if by == signal.SIGTERM else KeyboardInterrupt):
        run(compose(tmp_path / place, "algo=sft", f"sweep_dir={tmp_path}/s"))
    said = "stopped" if by is None else "stopped after update 5"
    if place == "alone":
        said += f"; to go on, repeat the command with output_dir={tmp_path}/alone resume=auto"
    assert capsys.readouterr().out == f"\n{said}\n"


@pytest.mark.parametrize(("place", "how"), [("a", "output_dir={}/a resume=auto"), ("s/a", "sweep_dir={}/s")])
def test_a_full_disk_is_said_with_the_command_that_is_taken(tmp_path, monkeypatch, place, how):
    def full(cfg, folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("igpo_lightning.training.run._run_stages", full)
    with pytest.raises(ConfigError) as caught:
        run(compose(tmp_path / place, "algo=sft", f"sweep_dir={tmp_path}/s"))
    assert str(caught.value).endswith(f"make room, and repeat the command with {how.format(tmp_path)}")


def test_a_named_checkpoint_is_not_the_warm_starts(tmp_path):
    cfg = compose(tmp_path, "algo=igpo", *TINY_RL, "resume=/of/the/rl/stage.ckpt")
    assert config_of(cfg).resume == "auto"
    cfg.resume = None
    assert config_of(cfg).resume is None


@pytest.mark.slow
def test_two_processes_write_one_run(tmp_path):
    done = program(tmp_path, "algo=igpo", "hardware=cpu_ddp", *TINY_RL, WARM_START)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["run"]  # the second process has no folder of its own
    stages = json.loads((tmp_path / "run" / "summary.json").read_text())["stages"]
    assert [s["updates"] for s in stages] == [4, 4]
    assert stages[1]["completions"] >= 2 * 4 * 4
    assert done.stdout.count("rollout 2/2") == 1


@pytest.mark.slow
def test_a_port_in_use_is_one_line(tmp_path, monkeypatch):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        # All processes write into one pipe: this ends when the last of them does.
        done = program(tmp_path, "algo=grpo", "hardware=cpu_ddp", *TINY_RL, "algo.warm_start=null")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "error" in line.lower()] == [
        f"error: MASTER_PORT={port}: another program on this machine listens there; "
        "unset it, or name a free port"
    ]
    assert not (tmp_path / "run").exists()

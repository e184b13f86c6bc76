"""Going on with runs, as a user does: further, with another rate, from a full disk, or by mistake."""

import os
import resource
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from fakes import TINY, TINY_RL, compose, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.locks import locked
from igpo_lightning.reporting.run import read_metrics
from igpo_lightning.reporting.summary import Summary
from igpo_lightning.training.checkpoint_files import newest
from igpo_lightning.training.run import run

QUIET = ("callbacks=default", "report=false", "callbacks.checkpoint.every=1")
SFT = ("algo=sft", "algo.steps=6", "algo.batch_size=8", "algo.validate_every=3", "logger=csv", *QUIET)
COSINE = "igpo_lightning.training.schedulers.warmup_cosine"
WARMUP = f"{{_target_: {COSINE}, _partial_: true, warmup: 2, final: 0.05}}"


def weights(folder):
    return (folder / "model" / "model.safetensors").read_bytes()


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def sft(tmp_path, monkeypatch):
    """The folder of a finished run of six updates."""
    monkeypatch.chdir(tmp_path)
    run(compose(tmp_path / "run", *SFT))
    return tmp_path / "run"


def test_a_finished_run_ends_at_once(sft, capsys):
    before = files(sft)
    assert run(compose(sft, *SFT, "resume=auto")) is not None
    assert files(sft) == before
    assert "this run is finished" in capsys.readouterr().out


def test_another_stages_folder_is_left_alone(sft):
    before = files(sft)
    for extra in ("resume=auto", f"resume={newest(sft / 'checkpoints')}"):
        with pytest.raises(ConfigError, match="of algo=sft, another algorithm than igpo"):
            run(compose(sft, "algo=igpo", *TINY_RL, f"model.path={sft / 'model'}", extra))
    assert files(sft) == before


def test_a_longer_run_is_the_run_that_was_longer_from_the_start(tmp_path, sft, capsys):
    constant = "algo.scheduler=null"
    for folder in ("a", "b"):
        run(compose(tmp_path / folder, *SFT, constant, *(["algo.steps=9"] if folder == "b" else [])))
    last = newest(tmp_path / "a" / "checkpoints")
    former = torch.load(last, weights_only=True)
    former["callbacks"]["StageRecord"]["seconds"] += 1000
    torch.save(former, last)
    run(compose(tmp_path / "a", *SFT, constant, "algo.steps=9", "resume=auto"))
    assert "going on after update 6 of 9" in capsys.readouterr().out
    (seconds,) = (stage.seconds for stage in Summary.load(tmp_path / "a").stages)
    saved = torch.load(newest(tmp_path / "a" / "checkpoints"), weights_only=True)["callbacks"]["StageRecord"]
    assert 1000 < saved["seconds"] < seconds  # those of the process before, and its own
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_rate_and_schedule_are_those_of_the_config(sft, capsys):
    changed = ("algo.steps=12", "algo.optimizer.lr=0.5", f"algo.scheduler={WARMUP}")
    run(compose(sft, *SFT, *changed, "algo.optimizer.betas=[0.5,0.6]", "resume=auto"))
    said = capsys.readouterr().out
    assert "algo.optimizer.lr 0.003 → 0.5" in said and "algo.steps 6 → 12" in said
    group = torch.load(newest(sft / "checkpoints"), weights_only=True)["optimizer_states"][0]["param_groups"][
        0
    ]
    assert tuple(group["betas"]) == (0.5, 0.6) and group["initial_lr"] == 0.5
    rates = dict(zip(*read_metrics(sft / "metrics" / "metrics.csv").series("lr-AdamW"), strict=True))
    # A cosine from 0.5 after two updates to 5 % of it after twelve; after seven it is half way down.
    assert rates[7] == pytest.approx(0.5 * (1 + 0.05) / 2)
    assert all(later < earlier <= 0.5 for earlier, later in pairwise(rates[step] for step in range(6, 12)))
    assert rates[5] < 0.01  # of the run so far


def test_a_checkpoint_after_the_end_is_refused(sft):
    saved = newest(sft / "checkpoints")
    with pytest.raises(ConfigError, match="it is after update 6, and this run ends after 4"):
        run(compose(sft, *SFT, "algo.steps=4", f"resume={saved}"))


@pytest.mark.slow
def test_other_starting_weights_are_another_run(tmp_path, sft):
    rl = ("algo=grpo", *TINY_RL, *QUIET, "logger=csv")
    run(compose(tmp_path / "rl", *rl, f"model.path={sft / 'model'}"))
    (sft / "model").rename(tmp_path / "moved")
    longer = (*rl, "algo.rollouts=3", "resume=auto")
    run(compose(tmp_path / "rl", *longer, f"model.path={tmp_path / 'moved'}"))
    tiny_policy(seed=3).save(tmp_path / "other")
    with pytest.raises(ConfigError, match="started from other weights than these"):
        run(compose(tmp_path / "rl", *longer, "algo.rollouts=4", f"model.path={tmp_path / 'other'}"))


def test_a_folder_that_is_in_use(tmp_path):
    with locked(tmp_path / "run"), pytest.raises(ConfigError, match="at work in it since"):
        run(compose(tmp_path / "run", *SFT, "resume=auto"))


def program(folder, *overrides, limit=resource.RLIM_INFINITY):
    """The program, in which no file can grow beyond ``limit`` bytes."""
    sizes = [o for o in TINY if not o.startswith(("logger", "callbacks"))]
    return subprocess.run(
        [sys.executable, "-m", "igpo_lightning.train", *sizes, *SFT, f"output_dir={folder}", *overrides],
        cwd=folder.parent, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=200, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_costs_the_last_updates(tmp_path):
    folder = tmp_path / "run"
    full = program(folder, "callbacks.checkpoint=null", limit=11_000)  # the config fits, the weights do not
    assert full.returncode == 2 and "Traceback" not in full.stderr
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert "could not be written" in line and "File too large" in line and "resume=auto" in line
    assert not (folder / "model").exists() and not list(folder.glob("*.partial"))
    assert (folder / "metrics" / "metrics.csv").is_file()
    full = program(folder, "resume=auto", limit=25_000)  # now the checkpoints, with the optimiser's state
    assert full.returncode == 2 and "checkpoints/" in full.stderr
    assert program(folder, "resume=auto").returncode == 0
    run(compose(tmp_path / "whole", *SFT))
    assert weights(folder) == weights(tmp_path / "whole")

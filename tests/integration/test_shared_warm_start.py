"""Jobs of a sweep train their common warm start once, and end as they would have with their own."""

import csv
import json
import os

import pytest
from fakes import TINY, TINY_RL, compose, repeatable
from omegaconf import OmegaConf

from igpo_lightning.reporting.run import read_run
from igpo_lightning.reporting.sweep import read_sweep
from igpo_lightning.sweeping.record import Record
from igpo_lightning.train import main
from igpo_lightning.training import MaskedDiffusionSFT, warm_start
from igpo_lightning.training.resumption import settings_by_key
from igpo_lightning.training.run import run

SETTINGS = [
    *TINY_RL,
    *("logger=csv", "+callbacks.checkpoint._target_=igpo_lightning.training.checkpoints.Checkpoints"),
    *("+callbacks.checkpoint.folder=${output_dir}/checkpoints", "+callbacks.checkpoint.every=1"),
    'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]',
    *(
        "report=false",
        "~reward.terms",
        "~reward.correctness",
        "~reward.workers",
        "reward._target_=fakes.HashReward",
    ),
]
PLACES = ("output_dir", "sweep_dir", "resume", "logger.csv.append", "logger.csv.save_dir")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """``sweep("seed=0,1")`` runs a sweep in ``tmp_path/s``; gives its exit code and folders by overrides."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("igpo_lightning.locks.SETTLE", 0.01)

    def swept(*overrides):
        quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        monkeypatch.setattr("sys.argv", ["train", "-m", "sweep_dir=s", *quiet, *TINY, *SETTINGS, *overrides])
        with pytest.raises(SystemExit) as stop:
            main()
        folders = [path.parent for path in (tmp_path / "s").glob("*/job.json")]
        return stop.value.code, {frozenset(Record.read(folder).overrides): folder for folder in folders}

    return swept


def job(folders, *overrides):
    (found,) = [folder for own, folder in folders.items() if own.issuperset(overrides)]
    return found


def outcome(folder):
    """All that two equal runs have in common, times aside."""
    logged = []
    for stage in ("sft", "."):
        with (folder / stage / "metrics" / "metrics.csv").open() as file:
            logged.append([repeatable(row) for row in csv.DictReader(file)])
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    settings = {k: v for k, v in settings_by_key(config).items() if k not in PLACES}
    weights = [(folder / stage / "model" / "model.safetensors").read_bytes() for stage in ("sft", ".")]
    return weights, logged, [repeatable(vars(stage.stage)) for stage in read_run(folder).stages], settings


@pytest.mark.slow
def test_jobs_share_it_and_end_as_without(sweep, tmp_path):
    code, folders = sweep("algo=grpo,igpo", "seed=1")
    grpo, igpo = job(folders, "algo=grpo"), job(folders, "algo=igpo")
    (made,) = (tmp_path / "s" / "warm_starts").iterdir()
    assert code == 0 and {os.path.realpath(folder / "sft") for folder in (grpo, igpo)} == {str(made)}

    run(compose(tmp_path / "alone", "algo=igpo", "seed=1", *SETTINGS))
    assert not (tmp_path / "alone" / "sft").is_symlink()
    assert outcome(igpo) == outcome(tmp_path / "alone")
    assert outcome(grpo)[0] != outcome(igpo)[0]

    result = read_sweep(tmp_path / "s")  # what they share is no job, and its place is no setting
    assert (len(result.jobs), result.keys) == (2, ("algo.name",))
    stage = json.loads((grpo / "summary.json").read_text())["stages"][0]
    assert stage["seconds"] == read_run(igpo).stages[0].stage.seconds < read_run(igpo).seconds


@pytest.mark.slow
def test_one_that_failed_half_way_is_finished_by_the_next_job(sweep, tmp_path, monkeypatch):
    step, left = MaskedDiffusionSFT.training_step, [3]

    def fails_once(self, *args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("the machine went away")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(MaskedDiffusionSFT, "training_step", fails_once)
    code, folders = sweep("algo=grpo,igpo")
    assert code == 1
    failed, done = job(folders, "algo=grpo"), job(folders, "algo=igpo")
    assert (Record.read(failed).state, Record.read(done).state) == ("failed", "done")
    assert read_run(done).stages[0].stage.updates == 4

    # A job by itself, in its folder, finds what it shares.
    run(compose(failed, "algo=grpo", *SETTINGS, "resume=auto"))
    assert len(list((tmp_path / "s" / "warm_starts").iterdir())) == 1
    run(compose(tmp_path / "alone", "algo=grpo", *SETTINGS))
    assert outcome(failed) == outcome(tmp_path / "alone")
    assert outcome(done)[0][0] == outcome(failed)[0][0]


def test_a_folder_that_has_one_of_its_own_keeps_it(tmp_path):
    def place(name, *overrides):
        return warm_start.config_of(compose(tmp_path / name, "algo=igpo", *SETTINGS, *overrides)).output_dir

    in_a_sweep = f"sweep_dir={tmp_path}"
    assert place("a") == str(tmp_path / "a" / "sft")
    assert place("a", in_a_sweep).startswith(str(tmp_path / "warm_starts"))
    (tmp_path / "a" / "sft").mkdir(parents=True)
    assert place("a", in_a_sweep) == str(tmp_path / "a" / "sft")

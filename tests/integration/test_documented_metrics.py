"""docs/metrics.md explains what runs log, no more and no less."""

import csv
import re
from pathlib import Path

import pytest
from fakes import TINY_RL, compose

from igpo_lightning.training.run import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
STAGE = 'warm_start=["algo.steps=4","algo.batch_size=4","algo.validate_every=2"]'


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """Stage → the columns of its CSV, of a run of supervised fine-tuning and IGPO."""
    folder = tmp_path_factory.mktemp("run")
    fast = "sampler/acceptance=threshold"  # so that it is compared with the exact one
    quiet = "logger=csv", "callbacks=default", "report=false"
    cfg = compose(folder, "algo=igpo", *TINY_RL, fast, *quiet, STAGE, "algo.rollouts=4")
    # Some completions are correct, so that hints enter groups and carry gradient.
    cfg.reward.terms = {"accuracy": {"_target_": "fakes.HashTerm", "share": 0.15}}
    run(cfg)
    files = {"sft": folder / "sft" / "metrics" / "metrics.csv", "igpo": folder / "metrics" / "metrics.csv"}
    return {stage: columns(file) for stage, file in files.items()}


def columns(file):
    """Names with a value in some row."""
    with file.open(encoding="utf-8", newline="") as opened:
        return {name for row in csv.DictReader(opened) for name, value in row.items() if value}


def documented():
    return re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_each_is_explained_once():
    assert len(documented()) == len(set(documented())) > 60


def test_all_that_is_logged_is_explained(logged):
    known = [re.sub(r"<\w+>", r"[\\w.-]+", re.escape(name)) for name in documented()]
    pattern = re.compile("|".join(known))
    assert [name for name in sorted(logged["sft"] | logged["igpo"]) if not pattern.fullmatch(name)] == []


def test_all_that_is_explained_is_logged(logged):
    certain = {name for name in documented() if "<" not in name}
    assert certain - (logged["sft"] | logged["igpo"]) == set()
    assert "rollout/reward/accuracy" in logged["igpo"]
    shared = {"train/loss", "train/epoch", "time/update", "time/tokens_per_second", "memory/gib_max"}
    assert shared <= logged["sft"] & logged["igpo"]

"""The toy to the end of both stages, under every strategy, with a process and a GPU."""

import json

import pytest
import torch
from fakes import TINY, TINY_RL
from running import Run

from igpo_lightning.models import load_policy
from igpo_lightning.reporting.run import read_metrics

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]
SETTINGS = [
    *(o for o in TINY if not o.startswith(("logger", "callbacks", "data.test_size"))), *TINY_RL,
    "data.test_size=3", "callbacks.checkpoint.every=2",
    'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]',
]  # fmt: skip


HARDWARE = ["gpu", "ddp", "zero1", "zero2", "zero3", "fsdp"]


def begin(folder, hardware):
    return Run(folder, *hardware, *SETTINGS, f"output_dir={folder}")


def check(folder, said):
    assert "may not get triggered properly" not in said  # ZeRO-3, of tensors that it does not find
    stages = json.loads((folder / "summary.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["sft", "igpo"]
    for stage, part in zip(stages, (folder / "sft", folder), strict=True):
        assert stage["accuracy_before"]["n"] == stage["accuracy_after"]["n"] == 4
        assert stage["updates"] == 4 and (part / "checkpoints").is_dir()
        assert all(weight.isfinite().all() for weight in load_policy(str(part / "model")).parameters())
    assert stages[1]["test"]["n"] == 3 and (folder / "report.html").is_file()
    _, drift = read_metrics(folder / "metrics" / "metrics.csv").series("rollout/drift_max")
    assert len(drift) == 2 and max(drift) <= 4e-3


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All of them at once: they are small, and take longest to import what they need."""
    folders = {name: tmp_path_factory.mktemp(name) / "run" for name in HARDWARE}
    begun = {name: begin(f, [f"hardware={name}", "hardware.devices=1"]) for name, f in folders.items()}
    return {name: (folders[name], run) for name, run in begun.items()}


@pytest.mark.parametrize("hardware", HARDWARE)
def test_both_stages_end_under(runs, hardware):
    folder, run = runs[hardware]
    check(folder, run.end())

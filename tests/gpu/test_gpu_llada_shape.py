"""An 8B model under one GPU: loaded, tuned for a step, sampled from for a window, saved."""

import json

import pytest
import torch
from llada_shape import overrides, write_checkpoint
from running import Run, report
from safetensors import safe_open

from igpo_lightning.reporting.run import read_metrics
from igpo_lightning.training.guards import LogProbDrift

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """16 GB in bfloat16, drawn on the GPU."""
    folder = tmp_path_factory.mktemp("llada") / "8b"
    write_checkpoint(folder, device="cuda")
    torch.cuda.empty_cache()
    return folder


def one_step(folder, model, algo, hardware, small=False):
    """Run it, and check what is left: finite losses, the adapter of the right shape, phases."""
    Run(folder, *hardware, *overrides(folder, model, algo, small)).end()
    found = json.loads((folder / "phases.json").read_text())
    phases = ["load and set up", *(["rollout"] if algo == "igpo" else []), "update 1", "update 2"]
    assert list(found["phases"]) == [*phases, "save and tear down"]
    steps, losses = read_metrics(folder / "metrics" / "metrics.csv").series("train/loss")
    assert steps == [0, 1] and torch.tensor(losses).isfinite().all()
    with safe_open(folder / "model" / "adapter_model.safetensors", "pt") as saved:
        shapes = {tuple(saved.get_tensor(name).shape) for name in saved.keys()}  # noqa: SIM118
    config = json.loads((model / "config.json").read_text())
    rank = 4 if small else 128
    assert {(rank, config["d_model"]), (config["mlp_hidden_size"], rank)} <= shapes
    if algo == "igpo":
        assert found["drift_max"] <= LogProbDrift().tolerance_16bit
    return found


@pytest.mark.parametrize("hardware", ["gpu", "zero2", "zero3"])
def test_an_sft_step_and_an_igpo_rollout_under(tmp_path, model, hardware):
    for algo in ("sft", "igpo"):
        found = one_step(tmp_path / algo, model, algo, [f"hardware={hardware}", "hardware.devices=1"])
        report(f"llada-8b {hardware} {algo}", found)

"""The GPU suite's own code, at small sizes on the CPU: what runs there must have run before."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gpu"))

from llada_shape import SMALL, SPECIAL, tokenizer, write_checkpoint
from test_gpu_llada_shape import one_step
from test_gpu_same_as_cpu import compare_completions, compare_logits
from test_gpu_strategies import HARDWARE, begin, check

from igpo_lightning.models import load_policy

GLOO = "+hardware.strategy.process_group_backend=gloo"
CPU = ["hardware.accelerator=cpu", "hardware.devices=1"]


def on_cpu(hardware):
    """The same choice of hardware, on the CPU."""
    if hardware == "gpu":
        return ["hardware=gpu", *CPU]
    deepspeed = ["hardware.strategy._target_=cpu_strategies.CPUDeepSpeed"] if "zero" in hardware else []
    gloo = "hardware.strategy.process_group_backend=gloo" if hardware == "ddp" else GLOO
    return [f"hardware={hardware}", *CPU, *deepspeed, gloo]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llada") / "small"
    write_checkpoint(folder, small=True)
    return folder


def test_the_checkpoint_has_the_published_ids(model):
    policy = load_policy(str(model), dtype="bfloat16")
    assert {token: tokenizer().convert_tokens_to_ids(token) for token in SPECIAL} == SPECIAL
    assert (policy.mask_id, policy.eos_id, policy.pad_id, policy.end_id) == (126336, 126081, 126081, 126348)
    assert policy.network.lm_head.weight.shape == (126464, SMALL["d_model"])
    config = json.loads((model / "config.json").read_text())
    assert config["rope_theta"] == 500000.0 and len(policy.tokenizer) == 126349


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, *(pytest.param(d, marks=pytest.mark.slow) for d in (torch.float64, torch.bfloat16))],
)
def test_the_comparison_with_the_cpu_itself(dtype):
    assert compare_completions(torch.device("cpu"), dtype) == 1
    if dtype != torch.bfloat16:  # whose logits are compared with float32's on a GPU alone
        assert compare_logits(torch.device("cpu"), dtype) == 0


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["sft", "igpo"])
@pytest.mark.parametrize("hardware", ["gpu", "zero2", "zero3"])
def test_the_shape_of_llada_under(tmp_path, model, hardware, algo):
    one_step(tmp_path / algo, model, algo, on_cpu(hardware), small=True)


@pytest.mark.slow
@pytest.mark.parametrize("hardware", HARDWARE)
def test_the_toy_under(tmp_path, hardware):
    folder = tmp_path / "run"
    check(folder, begin(folder, on_cpu(hardware)).end())

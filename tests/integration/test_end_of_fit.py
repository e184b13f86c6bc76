"""What is done when training has ended is done while the strategy is still set up."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fakes import TINY, TINY_RL, compose, datamodule, tiny_policy
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback

from igpo_lightning.evaluation.decoding import decode
from igpo_lightning.models import load_policy
from igpo_lightning.reporting.run import read_metrics
from igpo_lightning.training.checkpoint_files import numbered
from igpo_lightning.training.checkpoints import save_now
from igpo_lightning.training.guards.base import GuardStop
from igpo_lightning.training.run import run

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("sharded_program.py")
SETTINGS = [
    *(o for o in TINY if not o.startswith(("logger", "callbacks", "data.test_size"))), *TINY_RL,
    "algo.prompts_per_rollout=8", "data.test_size=3", "report=false",
    "~reward.terms", "~reward.correctness", "~reward.workers",
    "reward._target_=fakes.HashReward", "+reward.share=0.4",
    'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]',
]  # fmt: skip
ONE = "+hardware.strategy={_target_: cpu_strategies.OneDevice, device: cpu}"
GLOO = "+hardware.strategy.process_group_backend=gloo"
STRATEGIES = {
    "one": [ONE],
    "ddp": ["hardware=cpu_ddp", "hardware.strategy._target_=cpu_strategies.DDP"],
    "fsdp": ["hardware=fsdp", "hardware.strategy._target_=cpu_strategies.FSDP", GLOO],
    **{
        name: [f"hardware={name}", "hardware.strategy._target_=cpu_strategies.DeepSpeed", GLOO]
        for name in ("zero1", "zero2", "zero3")
    },
}


COLLECTIVES = {"all_reduce", "all_gather", "all_gather_object", "broadcast", "broadcast_object_list",
               "barrier", "reduce_boolean_decision", "reduce_scatter"}  # fmt: skip
# How weights are split and gathered is torch's business, not a message of ours.
STRUCTURE = ("distributed.fsdp", "distributed.tensor", "distributed.device_mesh", "checkpoint.state_dict",
             "distributed.checkpoint", "DistNetworkError")  # fmt: skip


class StopAfterOne(Callback):
    """Asks Lightning to stop, as EarlyStopping does."""

    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = trainer.global_step == 1


class StopAtTheEnd(Callback):
    """Saves after the last update, and ends the run, as a guard does."""

    def on_train_end(self, trainer, module):
        save_now(trainer)
        raise GuardStop("enough")


def stages(folder):
    return json.loads((folder / "summary.json").read_text())["stages"]


def measured(cfg, folder, problems):
    """The accuracy of a saved model on ``problems`` (val_problems, test_problems), from its files alone."""
    policy, data = load_policy(str(folder)), datamodule(cfg)
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(policy=policy))
    data.setup("test")
    sampler, reward = instantiate(cfg.sampler).greedy(), instantiate(cfg.reward)
    return decode(policy, sampler, reward, getattr(data, problems), seed=cfg.seed).means()["accuracy"]


def check_accuracies(cfg, folder):
    """Both stages say what their saved models can do; only the last has been tested."""
    first, second = stages(folder)
    for stage, part in ((first, folder / "sft"), (second, folder)):
        assert stage["accuracy_before"]["n"] == stage["accuracy_after"]["n"] == 4
        value = stage["accuracy_after"]["value"]
        assert value == pytest.approx(measured(cfg, part / "model", "val_problems"))
    assert first["test"] is None and second["test"]["n"] == 3
    assert second["test"]["value"] == pytest.approx(measured(cfg, folder / "model", "test_problems"))


def check_no_weight_is_moved(out, stages):
    assert re.findall(r"weights at teardown: (\d+)", out) == ["0"] * stages  # processes share the lines


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_policy().save(folder)
    return f"model.path={folder}"


def test_one_process_measures_and_saves_before_the_weights_are_gone(tmp_path, capsys):
    cfg = compose(tmp_path, *SETTINGS, "callbacks=default", "logger=csv", ONE)
    assert run(cfg) is not None
    check_no_weight_is_moved(capsys.readouterr().out, stages=2)
    check_accuracies(cfg, tmp_path)
    first, second = stages(tmp_path)
    assert second["accuracy_before"] == first["accuracy_after"] and second["updates"] == 4
    steps, values = read_metrics(tmp_path / "metrics" / "metrics.csv").series("val/accuracy")
    assert len(steps) == len(values) == 2  # the last validation, too, has its row


def test_a_run_that_a_guard_ends_after_the_last_update_is_finished_when_it_is_resumed(tmp_path, model):
    ends = "+callbacks.ends={_target_: test_end_of_fit.StopAtTheEnd}"
    settings = [*SETTINGS, model, "callbacks=default", ONE]
    with pytest.raises(GuardStop):
        run(compose(tmp_path, *settings, ends))
    saved = numbered(tmp_path / "checkpoints")[0]
    assert saved.name == "update-00000004.ckpt"
    assert not (tmp_path / "model").exists() and not (tmp_path / "summary.json").exists()

    assert run(compose(tmp_path, *settings, "resume=auto")) is not None
    (stage,) = stages(tmp_path)
    assert stage["updates"] == 4 and stage["accuracy_before"]["n"] == stage["accuracy_after"]["n"] == 4
    assert stage["test"]["n"] == 3
    trained = load_policy(str(tmp_path / "model")).state_dict()
    expected = torch.load(saved, weights_only=True)["state_dict"]
    for name, value in trained.items():
        torch.testing.assert_close(value, expected[f"policy.{name}"], rtol=0, atol=0)


def test_a_user_who_asks_to_stop_early_gets_his_figures(tmp_path, model):
    stops = "+callbacks.stops={_target_: test_end_of_fit.StopAfterOne}"
    run(compose(tmp_path, *SETTINGS, model, "callbacks=default", ONE, stops))
    (stage,) = stages(tmp_path)
    assert stage["updates"] == 1 and stage["test"]["n"] == 3 and (tmp_path / "model").is_dir()


def train(folder, strategy, processes):
    command = [sys.executable, str(PROGRAM), *STRATEGIES[strategy], *SETTINGS, "hardware.accelerator=cpu",
               f"hardware.devices={processes}", "hardware.precision=32-true",
               f"output_dir={folder}"]  # fmt: skip
    folder.mkdir()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "destroy_process_group() was not called" not in done.stderr
    check_no_weight_is_moved(done.stdout, stages=2 * processes)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero1", "zero2", "zero3"])
def test_both_stages_run_to_their_end_under(tmp_path, strategy, processes):
    folder = train(tmp_path / "run", strategy, processes)
    check_accuracies(compose(tmp_path, *SETTINGS), folder)


def test_nothing_but_the_distributed_module_calls_a_collective():
    """Elsewhere a collective would be missed by what is said there about devices and teardown."""
    found = []
    for path in (ROOT / "igpo_lightning").rglob("*.py"):
        if path.name == "distributed.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in COLLECTIVES:
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom | ast.Import) and "torch.distributed" in ast.unparse(node):
                names = ast.unparse(node)
                if not any(allowed in names for allowed in STRUCTURE):
                    found.append(f"{path.name}:{node.lineno} {names}")
    assert not found, found

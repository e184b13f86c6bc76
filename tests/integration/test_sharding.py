"""However many processes share the work and the weights, and however: the run is the same one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import TINY, TINY_RL
from safetensors.torch import load_file

from igpo_lightning.reporting.run import read_metrics
from igpo_lightning.training.checkpoint_files import numbered
from igpo_lightning.training.exporting import read_weights

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).with_name("sharded_program.py")
TWO = ["hardware.accelerator=cpu", "hardware.devices=2", "hardware.precision=32-true"]
GLOO = "+hardware.strategy.process_group_backend=gloo"
DEEPSPEED = [*TWO, GLOO, "hardware.strategy._target_=cpu_strategies.CPUDeepSpeed"]
HARDWARE = {
    "one": [],
    "ddp": ["hardware=cpu_ddp"],
    "zero1": ["hardware=zero1", *DEEPSPEED],
    "zero2": ["hardware=zero2", *DEEPSPEED],
    "zero3": ["hardware=zero3", *DEEPSPEED],
    "fsdp": ["hardware=fsdp", *TWO, GLOO],
}
# Adam divides by small numbers, which makes large ones of the last bit of a sum.
SGD = ["algo.optimizer._target_=torch.optim.SGD", "~algo.optimizer.betas", "algo.optimizer.lr=0.5"]
REWARD = [
    "~reward.terms",
    "~reward.correctness",
    "~reward.workers",
    "reward._target_=fakes.HashReward",
    "+reward.share=0.2",
]
RUN = [
    *(o for o in TINY if not o.startswith(("logger", "callbacks", "data.test_size"))),
    *TINY_RL, *SGD, *REWARD,
    "algo.rollouts=3", "algo.prompts_per_rollout=8", "data.test_size=3", "report=false",
    "algo.scheduler.warmup=0", "algo.scheduler.final=1.0",  # the same at every length
    "callbacks.checkpoint.every=1", "seed=1",  # with 0, two hints' entropies differ in their last bit
    'warm_start=["algo.steps=4","algo.batch_size=8","algo.validate_every=2"]',
]  # fmt: skip


def train(folder, hardware, *extra):
    command = [sys.executable, str(PROGRAM), *HARDWARE[hardware], *RUN, *extra]
    command.append(f"output_dir={folder}")
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def rollouts(folder, name):
    """[rollouts][all prompts of all processes] of what was sampled."""
    parts = [sorted(folder.glob(f"rollout-{w}-rank-*.pt")) for w in range(3)]
    return [torch.cat([torch.load(p, weights_only=True)[name] for p in ranks]) for ranks in parts]


def assert_equal_runs(folder, alone):
    for name in ("completions", "hints"):
        for mine, other in zip(rollouts(folder, name), rollouts(alone, name), strict=True):
            assert torch.equal(mine, other), name
    own, other = (read_metrics(f / "metrics" / "metrics.csv") for f in (folder, alone))
    names = ["train/grad_norm", "train/loss", "train/kl", "rollout/reward", "rollout/all_wrong_after"]
    names += ["train/ratio_mean", "train/ratio_min", "train/ratio_max", "train/kl_old", "train/epoch"]
    names += [f"rollout/completions/{which}_length" for which in ("min", "max")]
    names += [f"rollout/{name}" for name in ("reward_std", "advantage_min", "pass_at_g", "num_tokens")]
    for name in [*names, "rollout/completions", "rollout/length", "val/accuracy"]:
        steps, values = own.series(name)
        assert steps == other.series(name)[0], name
        assert values == pytest.approx(other.series(name)[1], rel=2e-4, abs=1e-6), name
    assert max(other.series("train/grad_norm")[1]) > 0.01  # there was something to learn
    for stage in ("sft", "."):
        weights, expected = (next((f / stage / "model").glob("*.safetensors")) for f in (folder, alone))
        weights, expected = load_file(weights), load_file(expected)
        assert weights.keys() == expected.keys()
        for name, value in weights.items():
            torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4, msg=f"{stage} {name}")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("alone") / "run", "one")


@pytest.mark.parametrize("rows", [8, 1], ids=["1 micro-batch", "4 micro-batches"])
@pytest.mark.parametrize("hardware", ["ddp", "zero1", "zero2", "zero3", "fsdp"])
def test_two_processes_equal_one(tmp_path, alone, hardware, rows):
    small = [
        'warm_start=["algo.steps=4","algo.batch_size=8","algo.rows_per_micro_batch=1","algo.validate_every=2"]'
    ]
    folder = train(
        tmp_path / "run", hardware, f"algo.prompts_per_micro_batch={rows}", *(small if rows == 1 else [])
    )
    assert_equal_runs(folder, alone)
    saved, expected = (read_weights(numbered(f / "checkpoints")[0]) for f in (folder, alone))
    assert saved.keys() == expected.keys()
    for name, value in saved.items():
        torch.testing.assert_close(value, expected[name], atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("hardware", ["ddp", "zero3", "fsdp"])
def test_nobody_waits_for_a_process_that_has_nothing_to_inpaint(tmp_path, hardware):
    folder = train(tmp_path / "run", hardware, "reward._target_=fakes.OneSidedReward", "evaluate=false")
    first, second = (
        [
            torch.load(folder / f"rollout-{w}-rank-{rank}.pt", weights_only=True)["triggered"].item()
            for w in range(3)
        ]
        for rank in (0, 1)
    )
    assert first == [0, 0, 0] and sum(second) > 0


MOVED = ["algo/reference=moved", "algo.reference.ref_model_sync_steps=2", "algo.loss.beta=0.5"]


@pytest.mark.parametrize("hardware", ["ddp", "zero2"])
def test_a_reference_moves_alike_on_all_processes(tmp_path, alone, hardware):
    one = train(tmp_path / "one", "one", *MOVED)
    assert_equal_runs(train(tmp_path / "run", hardware, *MOVED), one)
    kl = [read_metrics(f / "metrics" / "metrics.csv").series("train/kl")[1] for f in (one, alone)]
    assert kl[0][:2] == pytest.approx(kl[1][:2], abs=1e-2) and kl[0][2:] != pytest.approx(kl[1][2:], rel=0.1)


CHOSEN = ["algo/select=other_prompts", "algo/inpaint=hints_by_difficulty", "algo.inpaint.span.width=0.1"]


@pytest.fixture(scope="module")
def chosen_alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("chosen") / "run", "one", *CHOSEN)


@pytest.mark.parametrize("hardware", ["ddp", "zero3"])
def test_other_prompts_and_histories_do_not_depend_on_the_number_of_processes(
    tmp_path, chosen_alone, hardware
):
    run = train(tmp_path / "run", hardware, *CHOSEN)
    assert_equal_runs(run, chosen_alone)
    metrics = [read_metrics(f / "metrics" / "metrics.csv") for f in (run, chosen_alone)]
    for name in ("others", "swapped"):
        counts = [m.series(f"rollout/{name}")[1] for m in metrics]
        assert counts[0] == counts[1] and sum(counts[0]) > 0, name


@pytest.mark.parametrize("hardware", ["zero3", "fsdp"])
def test_a_reference_that_moves_is_refused_where_weights_are_split(tmp_path, hardware):
    with pytest.raises(AssertionError, match=r"algo\.reference: one that moves can't follow weights"):
        train(tmp_path / "run", hardware, *MOVED, "model.path=null", "evaluate=false")


@pytest.mark.parametrize("first, then", [
    ("one", "ddp"), ("ddp", "one"), ("ddp", "ddp"), ("fsdp", "fsdp"), ("zero2", "zero2"), ("zero3", "zero3"),
])  # fmt: skip
def test_resumed_by_as_many_or_by_others(tmp_path, alone, first, then):
    folder = train(tmp_path / "run", first, "algo.rollouts=2")
    (folder / "summary.json").unlink()
    train(folder, then, "resume=auto")
    assert_equal_runs(folder, alone)

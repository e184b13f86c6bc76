"""The guards in the program as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import TINY, TINY_RL, compose, tiny_policy, weights
from hydra.utils import instantiate
from sabotage import AdamWWithout

from igpo_lightning.models import load_policy
from igpo_lightning.training.checkpoint_files import newest
from igpo_lightning.training.guards.watchdog import EXIT_CODE
from igpo_lightning.training.run import run

TESTS = Path(__file__).resolve().parents[1]
GUARDS = [
    "finite",
    "identical_completions",
    "constant_reward",
    "unwritten_hints",
    "exploding_metric",
    "logprob_drift",
    "watchdog",
]
SIZES = [o for o in TINY if not o.startswith(("logger", "callbacks"))]
RL = ["algo=grpo", *TINY_RL, "evaluate=false", "report=false", "callbacks.samples=null"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model to start from."""
    folder = tmp_path_factory.mktemp("model")
    tiny_policy().save(folder)
    return f"model.path={folder}"


def bad_loss(*calls):
    return ["algo.loss._target_=sabotage.BadLoss", f"+algo.loss.bad=[{','.join(map(str, calls))}]"]


def trained(folder, *overrides, callbacks="default"):
    """The weights at the end of a run within this process."""
    run(compose(folder, f"callbacks={callbacks}", *RL, *overrides))
    return weights(load_policy(str(folder / "model")))


def program(folder, *overrides):
    """``python -m igpo_lightning.train`` in an empty folder, with the tests' own parts at hand."""
    command = [sys.executable, "-m", "igpo_lightning.train", f"hydra.run.dir={folder / 'run'}", *SIZES, *RL]
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "0", "PYTHONPATH": path}
    return subprocess.run(
        [*command, *overrides], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )


def test_all_guards_are_on_by_default_and_can_be_switched_off(tmp_path):
    default = compose(tmp_path, "callbacks=default").callbacks
    assert set(GUARDS) <= set(default)
    for name in GUARDS:
        assert getattr(instantiate(default[name]), "name", name) == name
    assert not set(GUARDS) & set(compose(tmp_path, "callbacks=default", "callbacks/guards=none").callbacks)


def test_guards_do_not_change_a_run(tmp_path, model):
    plain = trained(tmp_path / "plain", model, "callbacks/guards=none")
    assert torch.equal(trained(tmp_path / "guarded", model), plain)
    assert not (tmp_path / "guarded" / "heartbeat").exists()


def test_an_update_with_a_bad_loss_is_as_if_it_had_not_been(tmp_path, model):
    # Two micro-batches an update: call 5 is in the third of four.
    dropped = trained(tmp_path / "dropped", model, *bad_loss(5))
    without = [
        f"algo.optimizer._target_={AdamWWithout.__module__}.AdamWWithout",
        "+algo.optimizer.without=[2]",
    ]
    assert torch.equal(dropped, trained(tmp_path / "without", model, *without))
    assert not torch.equal(dropped, trained(tmp_path / "plain", model))


@pytest.mark.slow
def test_stop_is_one_error_and_a_run_to_go_on_with(tmp_path, model):
    stopped = program(tmp_path, model, *bad_loss(5), "callbacks.finite.action=stop")
    assert stopped.returncode == 1
    errors = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in stopped.stderr
    assert errors[0].startswith("error: callbacks.finite: rollout 2, update 3: NaN or infinity in the loss")
    assert errors[0].endswith("resume=auto")
    columns, *rows = (tmp_path / "run" / "metrics" / "metrics.csv").read_text().splitlines()
    at = columns.split(",").index("guard/finite")
    assert [row.split(",")[at] for row in rows if row.split(",")[at]] == ["1.0"]
    resumed = trained(tmp_path / "run", model, "resume=auto", "logger=csv")
    assert torch.equal(resumed, trained(tmp_path / "dropped", model, *bad_loss(5)))


@pytest.mark.slow
@pytest.mark.parametrize("action, code", [("skip", 0), ("stop", 1)])
def test_two_processes_agree(tmp_path, model, action, code):
    """Only process 1 sees a bad loss."""
    one_rank = [*bad_loss(2), "+algo.loss.rank=1"]  # one micro-batch an update: two prompts on each process
    done = program(tmp_path, model, "hardware=cpu_ddp", *one_rank, f"callbacks.finite.action={action}")
    assert (done.returncode == 0) == (code == 0), done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("warning")]
    assert len(said) == 1 and "update 3: NaN or infinity in the loss on process 1;" in said[0]
    if action == "skip":
        assert weights(load_policy(str(tmp_path / "run" / "model"))).isfinite().all()
    else:
        assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
        saved = torch.load(newest(tmp_path / "run" / "checkpoints"), weights_only=True)
        assert saved["global_step"] == 3


@pytest.mark.slow
def test_a_process_that_hangs_is_named_by_the_one_that_waits_for_it(tmp_path, model):
    hangs = ["reward={_target_: sabotage.HangingReward, at: 1, rank: 1}", "algo.validate_every=2"]
    done = program(tmp_path, model, "hardware=cpu_ddp", "~reward", *(f"+{hangs[0]}", hangs[1]),
                   "callbacks.watchdog.timeout=8")  # fmt: skip
    assert done.returncode in (EXIT_CODE, -9)  # -9: Lightning's launcher was faster
    assert "callbacks.watchdog: no sign of life from rank" in done.stderr
    assert "silent for longest: rank 1" in done.stderr and "rank 1: rollout (rollout 1" in done.stderr

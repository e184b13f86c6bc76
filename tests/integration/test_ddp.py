"""Two processes do together what one does alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fakes import TINY_RL

# Adam divides by small numbers, which makes large ones of the last bit of a sum.
SGD = ["algo.optimizer._target_=torch.optim.SGD", "~algo.optimizer.betas", "algo.optimizer.lr=0.5"]
PROGRAM = Path(__file__).with_name("ddp_program.py")


def seen(folder, *overrides, ranks=1):
    """What each process of a run of ``ddp_program`` saw."""
    folder.mkdir()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(folder), *TINY_RL, *SGD, *overrides]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"rank{r}.pt", weights_only=True) for r in range(ranks)]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["MeanField", "RandomMasking"])
def test_two_processes_equal_one(tmp_path, estimator):
    scored = f"algo.logprobs._target_=igpo_lightning.algos.logprobs.{estimator}"
    (alone,) = seen(tmp_path / "one", scored)
    ranks = seen(tmp_path / "two", scored, "hardware=cpu_ddp", ranks=2)
    assert sum(alone["triggered"]) > 0
    for window in range(2):
        for name in ("completions", "hints"):
            assert torch.equal(torch.cat([r[name][window] for r in ranks]), alone[name][window])
    assert torch.equal(ranks[0]["weights"], ranks[1]["weights"])
    torch.testing.assert_close(ranks[0]["weights"], alone["weights"], atol=1e-6, rtol=1e-5)
    assert ranks[0]["updates"] == alone["updates"] == 4
    for name in ("reward", "all_wrong_before", "all_wrong_after", "replaced", "completions", "length"):
        assert ranks[0]["logged"][f"rollout/{name}"] == pytest.approx(alone["logged"][f"rollout/{name}"])

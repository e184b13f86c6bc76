"""A run that is killed, wherever, and started again is the run that was left alone, to the last bit."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import TINY, TINY_RL, repeatable
from killed_program import MOMENTS

from igpo_lightning.reporting.run import read_metrics
from igpo_lightning.training.checkpoint_files import numbered

PROGRAM = Path(__file__).with_name("killed_program.py")
RUN = [
    *(o for o in TINY if not o.startswith(("logger", "callbacks"))),
    *TINY_RL,
    "algo=igpo",
    'warm_start=["algo.steps=6","algo.batch_size=8","algo.validate_every=2"]',
    "algo.rollouts=4",
    "callbacks.checkpoint.every=1",
    "callbacks.samples.every_n_rollouts=1",
    "report=false",
    *("~reward.terms", "~reward.correctness", "~reward.workers", "reward._target_=fakes.HashReward"),
]
KILLS = 20


def run(folder, number="SIGKILL", moment="rollout begins", count=0, extra=()):
    command = [sys.executable, str(PROGRAM), number, moment, str(count), *RUN, f"output_dir={folder}", *extra]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder.parent, env=env, capture_output=True, text=True, timeout=200)


def outcome(folder):
    """All that two equal runs have in common: what they logged but for times, and their weights."""
    rows = {}
    for stage in (folder, folder / "sft"):
        metrics = read_metrics(stage / "metrics" / "metrics.csv")
        names = set(repeatable(dict.fromkeys(metrics.frame))) - {"step"}
        rows[stage.name] = {name: metrics.series(name) for name in sorted(names)}
    return [
        *rows.values(),
        *((s / "model" / "model.safetensors").read_bytes() for s in (folder, folder / "sft")),
    ]


@pytest.mark.slow
@pytest.mark.timeout(1500)  # two dozen runs
def test_twenty_kills(tmp_path):
    assert run(tmp_path / "whole").returncode == 0
    rng = random.Random(0)
    moments = [*MOMENTS, *rng.choices(list(MOMENTS), k=KILLS - len(MOMENTS))]
    rng.shuffle(moments)
    chain, kills = tmp_path / "chain-0", 0
    while moments:
        moment = moments.pop()
        count = rng.randint(1, 40) if moment == "model call" else rng.randint(1, 2)
        done = run(chain, "SIGKILL", moment, count, ["resume=auto"])
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        kills += done.returncode != 0
        if done.returncode == 0:  # the moment did not come before the end: on with a fresh run
            assert outcome(chain) == outcome(tmp_path / "whole")
            moments.insert(0, moment)
            chain = tmp_path / f"chain-{kills}"
    assert kills == KILLS
    assert run(chain, extra=["resume=auto"]).returncode == 0
    assert outcome(chain) == outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    "number, status", [("SIGTERM", 0), pytest.param("SIGINT", 130, marks=pytest.mark.slow)]
)
def test_asked_to_stop_it_saves_and_ends_well(tmp_path, number, status):
    done = run(tmp_path / "run", number, "rollout ends", 2)
    assert done.returncode == status, done.stderr
    assert "stopped after update 3; to go on, repeat the command with output_dir=" in done.stdout
    assert "Traceback" not in done.stderr
    assert numbered(tmp_path / "run" / "checkpoints")[0].name == "update-00000003.ckpt"
    assert not (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "run.lock").exists()

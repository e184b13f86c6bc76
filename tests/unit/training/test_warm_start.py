"""When jobs of a sweep share a warm start, and how the processes of a job agree on who trains it."""

from pathlib import Path

import pytest
from fakes import TINY_RL, compose
from lightning.pytorch.utilities import rank_zero_only

from igpo_lightning import stopping
from igpo_lightning.checks import ConfigError
from igpo_lightning.training import warm_start

LENGTH = 'warm_start=["algo.steps=4"]'


def key(*overrides):
    cfg = compose("/sweep/job", "algo=grpo", *TINY_RL, LENGTH, *overrides)
    return warm_start.key_of(warm_start.config_of(cfg))


@pytest.fixture(scope="module")
def first_key():
    return key()


@pytest.mark.parametrize("override", [
    "algo=igpo", "algo.rollouts=9", "algo.optimizer.lr=1", "algo.loss.beta=0", "algo/logprobs=mean_field",
    "model.rl.lr=1", "model.lora={rank: 2, alpha: 4, targets: [q_proj]}", "report=false", "resume=auto",
    "logger=csv", "sweep_dir=elsewhere", "output_dir=/sweep/another",
    "+callbacks.samples={_target_: igpo_lightning.reporting.callbacks.SampleTable, path: x}",
])  # fmt: skip
def test_what_its_weights_do_not_depend_on_is_shared(first_key, override):
    assert key(override) == first_key


@pytest.mark.parametrize("override", [
    "seed=1", "data.source.train_size=20", "data.val_size=2", "model.create.layers=2", "model.sft.lr=1",
    'warm_start=["algo.steps=5"]', "sampler.temperature=2", "prompt=igpo", "hardware=cpu_ddp",
    "evaluate=false",
    "+callbacks.finite={_target_: igpo_lightning.training.guards.FiniteGuard, action: skip}",
])  # fmt: skip
def test_what_they_depend_on_is_not(first_key, override):
    assert key(override) != first_key


@pytest.mark.parametrize(("fault", "how"), [
    ("algo.steps=0: expected more", """; it is set by 'warm_start=["algo.steps=…"]'"""),
    ("a.jsonl:3: algo.optimizer.lr: too high.", """; it is set by 'warm_start=["algo.optimizer.lr=…"]'"""),
    ("data.val_size=9: more than there are", ""),
])  # fmt: skip
def test_what_it_refuses_is_said_to_be_its_own_with_how_that_is_set(tmp_path, fault, how):
    def train(first):
        raise ConfigError(fault)

    cfg = compose(tmp_path, "algo=grpo", *TINY_RL)
    with pytest.raises(ConfigError) as caught:
        warm_start.trained(cfg, train)
    assert str(caught.value) == f"the first stage (sft): {fault}{how}"


@pytest.fixture
def other_process(tmp_path, monkeypatch):
    """``other_process()``: whether a process beside a job's first one trains the warm start."""
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setattr(warm_start, "POLL", 0.01)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    cfg = compose(tmp_path / "job", "algo=grpo", *TINY_RL, f"sweep_dir={tmp_path}")
    first = warm_start.config_of(cfg)
    Path(first.output_dir).mkdir(parents=True)

    def trains(meanwhile):
        looks = []
        monkeypatch.setattr(
            "time.sleep", lambda _: looks.append(1) or meanwhile(Path(first.output_dir), looks)
        )
        with warm_start._turn(first, warm_start.own_folder(cfg)) as due:
            return due

    return trains


def test_other_processes_do_as_the_first_one_does(other_process):
    def decide(folder, looks):
        (folder / ".attempt").write_text("7  " if len(looks) == 3 else "7  1")  # of another start

    assert other_process(decide)


def test_other_processes_need_not_train_what_another_job_has_finished(other_process):
    def finish(folder, looks):
        if len(looks) == 3:
            (folder / "summary.json").write_text("{}")

    assert not other_process(finish)


def test_a_run_that_waits_can_be_stopped(other_process, monkeypatch):
    monkeypatch.setitem(stopping._state, "asked", 0)
    with pytest.raises(stopping.Stopped, match="before its first update"):
        other_process(lambda *_: stopping._state.update(asked=15))

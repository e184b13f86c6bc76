"""What a guard does about an alarm, whatever raised it."""

import io
from functools import partial

import pytest
import torch
from fakes import MemoryLogger, rollout_fit, sft_fit, tiny_policy, trainer, weights
from sabotage import AdamWWithout

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.callbacks import RolloutProgress
from igpo_lightning.training.checkpoints import Checkpoints
from igpo_lightning.training.guards import Guard, GuardStop


class AtUpdates(Guard):
    """Alarm at given updates, counted from 0."""

    name = "at_updates"

    def __init__(self, at=(), **options):
        super().__init__(**options)
        self.at = set(at)

    def inspect_update(self, trainer, pl_module):
        return f"number {trainer.global_step}" if trainer.global_step in self.at else None


class AtWindows(AtUpdates):
    name = "at_rollouts"

    def inspect_rollout(self, trainer, pl_module, batch):
        return f"rollout {batch.index} is bad" if batch.index in self.at else None

    def inspect_update(self, trainer, pl_module):
        return None


def fit(folder, *guards, make=None, without=None, logger=False, resume=None, checkpoints=False):
    """(weights, trainer) of six updates: three rollouts of two passes of two micro-batches."""
    module, data = (make or partial(rollout_fit, rollouts=3, prompts_per_micro_batch=2))(tiny_policy())
    if without is not None:
        module.algorithm.optimizer = partial(AdamWWithout, lr=1e-2, without=without)
    keep = [Checkpoints(folder / "checkpoints", every=100)] if checkpoints else []
    run = trainer(folder, callbacks=[*guards, *keep], logger=logger, enable_checkpointing=checkpoints)
    run.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return weights(module.policy), run


def test_skip_is_the_run_without_that_update(tmp_path):
    plain, _ = fit(tmp_path)
    expected, _ = fit(tmp_path, without=[2, 3])
    dropped, run = fit(tmp_path, AtUpdates([2, 3], action="skip"))
    assert run.global_step == 6
    assert torch.equal(dropped, expected) and not torch.equal(dropped, plain)


def test_an_alarm_about_a_rollout_drops_all_its_updates_and_counts_once(tmp_path):
    guard = AtWindows([1], action="skip")
    dropped, _ = fit(tmp_path, guard)
    assert torch.equal(dropped, fit(tmp_path, without=[2, 3])[0])
    assert guard.alarms == 1


def test_warnings_change_nothing(tmp_path):
    guard = AtUpdates(range(6))
    with pytest.warns(UserWarning, match="callbacks.at_updates"):
        warned, _ = fit(tmp_path, guard)
    assert torch.equal(warned, fit(tmp_path)[0])
    assert guard.alarms == 6


def test_messages_are_rare_and_the_metric_counts_all(tmp_path):
    out, logger = io.StringIO(), MemoryLogger()
    guard = AtUpdates(range(6), repeat_every=2)
    module, data = rollout_fit(tiny_policy(), rollouts=3)
    run = trainer(tmp_path, callbacks=[guard, RolloutProgress(stream=out)], logger=logger)
    run.fit(module, datamodule=data)
    lines = [line for line in out.getvalue().splitlines() if "warning" in line]
    assert lines == [
        "warning (callbacks.at_updates): rollout 1, update 1: number 0",
        "warning (callbacks.at_updates): rollout 3, update 5: number 4",
    ]
    assert [logger.rows[step]["guard/at_updates"] for step in range(6)] == [1, 2, 3, 4, 5, 6]
    assert run.callback_metrics["guard/at_updates"] == 6


def test_supervised_training_repeats_by_updates(tmp_path):
    guard = AtUpdates(range(24), repeat_every=1)
    with pytest.warns(UserWarning) as caught:
        fit(tmp_path, guard, make=partial(sft_fit, steps=24))
    said = [str(w.message) for w in caught if "at_updates" in str(w.message)]
    assert [text.split(": ")[1] for text in said] == ["update 1", "update 11", "update 21"]


@pytest.mark.parametrize("checkpoints", [True, False])
def test_stop_saves_what_a_resumed_run_goes_on_from(tmp_path, checkpoints):
    said = r"number 2; stopped after update 3, which was dropped. Checkpoint: .*00003.ckpt; .*resume=auto"
    with pytest.warns(UserWarning, match="stopping"), pytest.raises(GuardStop, match=said):
        fit(tmp_path, AtUpdates([2], action="stop"), checkpoints=checkpoints)
    saved = tmp_path / "checkpoints" / "update-00000003.ckpt"
    resumed, run = fit(tmp_path, AtUpdates(), resume=str(saved), checkpoints=checkpoints)
    assert torch.equal(resumed, fit(tmp_path, without=[2])[0])
    assert run.global_step == 6
    at_the_end = ["update-00000006.ckpt"] if checkpoints else []
    assert sorted(p.name for p in saved.parent.iterdir()) == ["update-00000003.ckpt", *at_the_end]


def test_the_rest_of_a_rollout_that_stopped_the_run_is_dropped_as_well(tmp_path):
    with pytest.warns(UserWarning, match="stopping"), pytest.raises(GuardStop, match="rollout 1 is bad"):
        fit(tmp_path, AtWindows([1], action="stop"))
    last = str(tmp_path / "checkpoints" / "update-00000003.ckpt")
    resumed, _ = fit(tmp_path, AtWindows([1], action="stop"), resume=last)
    assert torch.equal(resumed, fit(tmp_path, without=[2, 3])[0])


def test_what_a_guard_remembers_is_in_the_checkpoint(tmp_path):
    guard = AtUpdates([0, 1], repeat_every=100)
    with pytest.warns(UserWarning):
        _, run = fit(tmp_path, guard)
    run.save_checkpoint(tmp_path / "some.ckpt")
    again = AtUpdates()
    again.load_state_dict(torch.load(tmp_path / "some.ckpt", weights_only=True)["callbacks"][guard.state_key])
    assert (again.alarms, again.rollout, again.told) == (2, 2, 0)


def test_an_action_that_does_not_exist():
    with pytest.raises(
        ConfigError, match=r"callbacks\.at_updates\.action=halt: expected one of warn, skip, stop"
    ):
        AtUpdates(action="halt")

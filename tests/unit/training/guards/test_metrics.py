import math
import warnings
from types import SimpleNamespace

import pytest
import torch
from fakes import LORA, rollout_fit, tiny_policy, trainer
from sabotage import Drifts, DropoutOn, SamplingWithoutAutocast

from igpo_lightning.algos.logprobs import MeanField, RandomMasking
from igpo_lightning.checks import ConfigError
from igpo_lightning.training.guards import ExplodingMetric, LogProbDrift, metrics
from igpo_lightning.training.guards.metrics import Bounds


class Play:
    """Feeds a guard with the metrics of one update after the other."""

    def __init__(self, guard):
        self.guard, self.step = guard, 0

    def update(self, rollout, **metrics):
        """The verdict on an update of ``rollout``."""
        run = SimpleNamespace(global_step=self.step, precision="32-true")
        module = SimpleNamespace(device="cpu", update_metrics=lambda: metrics)
        if rollout != self.guard.rollout:
            self.guard.rollout = rollout
            self.guard.inspect_rollout(run, module, None)
        self.step += 1
        return self.guard.inspect_update(run, module)


def exploding(updates=3, history=100, **metrics):
    return Play(ExplodingMetric(metrics or {"kl": {"limit": 10.0}}, updates=updates, history=history))


def test_bounds():
    assert Bounds(10.0).broken_by(10.0, None) is None
    assert Bounds(10.0).broken_by(10.5, None) == "above 10"
    relative = Bounds(10.0, factor=5.0, floor=1.0)
    assert relative.broken_by(0.9, 0.01) is None  # below the floor
    assert relative.broken_by(2.0, 0.5) is None
    assert relative.broken_by(3.0, 0.5) == "6 times its median 0.5"
    assert relative.broken_by(3.0, None) is None
    assert relative.broken_by(3.0, 0.0) == "inf times its median 0"


def test_one_rollout_alone_raises_no_alarm_however_many_updates_it_has():
    play = exploding()
    assert not any(play.update(0, kl=3000.0) for _ in range(12))
    assert play.update(1, kl=0.1) is None
    assert not any(play.update(w, kl=v) for w in range(2, 8) for v in (3000.0, 0.1))  # nor single spikes


def test_a_metric_that_this_process_lacks_is_reduced_with_the_others(monkeypatch):
    """Another process may have it: all must hand over as many numbers, or the run hangs."""
    sent = []

    def reduce(values, how, device):
        sent.append(values)
        return [20.0, *values[1:]]  # the first one is another process's

    monkeypatch.setattr(metrics, "reduce", reduce)
    play = exploding(**{"clip_ratio/hints": {"limit": 0.5}, "kl": {"limit": 1.0}, "absent": {"limit": 1.0}})
    heard = [play.update(rollout, kl=0.1) for rollout in range(3)]
    assert sent == [[-math.inf, 0.1, -math.inf]] * 3
    assert heard[-1].startswith("train/clip_ratio/hints is 20, above 0.5") and "absent" not in heard[-1]


def test_several_updates_in_a_row():
    play = exploding()
    heard = [play.update(rollout, kl=20.0) for rollout in (0, 0, 1, 1)]
    assert [bool(text) for text in heard] == [False, False, True, True]
    assert heard[2].startswith("train/kl is 20, above 10, for 3 updates in a row: the policy is running away")


def test_far_above_the_running_median():
    play = exploding(history=20, kl={"limit": 10.0, "factor": 10.0, "floor": 0.5})
    assert not any(play.update(w, kl=0.04) for w in range(8))
    assert not any(play.update(w, kl=0.45) for w in range(8, 11))  # far above it as well, but below the floor
    heard = [play.update(w, kl=0.9) for w in range(11, 14)]
    assert heard[:2] == [None, None]
    assert "train/kl is 0.9, 22 times its median 0.04, for 3 updates" in heard[2]


def test_ratios_of_a_rollouts_first_update_do_not_count():
    play = exploding(clip_fraction={"limit": 0.5}, ratio_max={"limit": 100.0})
    heard = []
    for rollout in range(4):
        heard.append(play.update(rollout, clip_fraction=0.0, ratio_max=1.0, loss=1.0))
        heard.append(play.update(rollout, clip_fraction=0.9, ratio_max=500.0, loss=1.0))
    assert [bool(text) for text in heard] == [False] * 5 + [True, False, True]
    assert "train/clip_fraction is 0.9" in heard[5] and "train/ratio_max is 500" in heard[5]
    assert play.guard.past["clip_fraction"] == pytest.approx([0.9] * 4)


def test_the_worst_process_counts_and_nan_is_left_to_another_guard(monkeypatch):
    guard = ExplodingMetric({"kl": {"limit": 10.0}}, updates=1)
    guard.rollout = 1
    monkeypatch.setattr(
        "igpo_lightning.training.guards.metrics.reduce",
        lambda values, how, device: [100 * value for value in values],
    )
    module = SimpleNamespace(device="cpu", update_metrics=lambda: {"kl": 1.0})
    run = SimpleNamespace(global_step=3)
    guard.streaks = {"kl": [1, 0]}
    assert "train/kl is 100" in guard.inspect_update(run, module)
    module.update_metrics = lambda: {"kl": torch.nan}
    assert guard.inspect_update(run, module) is None
    assert guard.past["kl"] == [100.0]


def test_metrics_that_are_not_there_or_not_wanted():
    play = exploding(updates=1, kl=None, entropy={"limit": 0.0})
    assert [play.update(w, kl=1e9) for w in range(3)] == [None] * 3
    with pytest.raises(
        ConfigError, match=r"callbacks\.exploding_metric\.metrics.*expected limit, factor and floor"
    ):
        exploding(kl={"limits": 1.0})


def test_a_learning_rate_that_is_too_high(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=5, lr=0.5)
    guard = ExplodingMetric({"kl": {"limit": 1.0}}, action="skip", updates=3)
    with pytest.warns(UserWarning, match="train/kl is .*; the update is dropped"):
        trainer(tmp_path, callbacks=[guard], gradient_clip_val=None).fit(module, datamodule=data)


@pytest.mark.parametrize("precision, by, heard", [
    ("32-true", 0.1, True), ("32-true", 0.002, True), ("32-true", 5e-4, False),
    ("bf16-mixed", 0.1, True), ("bf16-mixed", 0.006, True), ("bf16-mixed", 0.002, False),
])  # fmt: skip
def test_drift_between_sampling_and_training(tmp_path, precision, by, heard, recwarn):
    module, data = rollout_fit(tiny_policy(), prompts_per_micro_batch=2)
    sample = data.engine.run

    def shifted(*args):
        rollout = sample(*args)
        rollout.old_logps += by
        return rollout

    data.engine.run = shifted
    guard = LogProbDrift(repeat_every=1)
    run = trainer(tmp_path, callbacks=[guard], precision=precision)
    run.fit(module, datamodule=data)
    assert run.callback_metrics["rollout/drift_max"] == pytest.approx(by, abs=1e-5)
    said = [str(w.message) for w in recwarn if "logprob_drift" in str(w.message)]
    assert guard.alarms == len(said) == (2 if heard else 0)  # once a rollout, at its first update
    assert (
        not heard
        or f"rollout 1, update 1: before the rollout's first update, log-probs differ by up to {by:.3g}"
        in said[0]
    )


def drifts(folder, policy, *callbacks, **fit):
    """(drift of each rollout, alarms) under bfloat16."""
    module, data = rollout_fit(policy, rollouts=3, prompts_per_micro_batch=2, **fit)
    guard, seen = LogProbDrift(repeat_every=1), Drifts()
    run = trainer(folder, callbacks=[guard, seen, *callbacks], precision="bf16-mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run.fit(module, datamodule=data)
    return seen.values, guard.alarms


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_healthy_runs_in_bfloat16_have_no_drift_at_all(tmp_path, lora, seed):
    chosen = {"seed": seed, "logprobs": RandomMasking() if seed else MeanField()}
    assert drifts(tmp_path, tiny_policy(seed=seed, lora=lora), **chosen) == ([0.0] * 3, 0)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("fault", [DropoutOn(0.01), DropoutOn(0.1), SamplingWithoutAutocast()], ids=repr)
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_what_is_not_the_same_in_sampling_and_training_is_heard_in_bfloat16(tmp_path, lora, fault, seed):
    found, alarms = drifts(tmp_path, tiny_policy(seed=seed, lora=lora, layers=2), fault)
    assert alarms == 3 and min(found) > LogProbDrift().tolerance_16bit


@pytest.mark.parametrize("updates", [1, 2])
def test_without_drift_the_ratio_is_exactly_one(tmp_path, updates):
    module, data = rollout_fit(
        tiny_policy(),
        prompts_per_micro_batch=1,
        updates_per_iteration=updates,
        lr=0.1,
    )
    seen, guard = [], LogProbDrift(tolerance=0.0)
    guard.inspect_update = lambda *args: seen.append(module.update_metrics().get("drift_max"))
    trainer(tmp_path, callbacks=[guard]).fit(module, datamodule=data)
    later = [None] * (2 * updates - 1)  # the policy has moved: nothing to compare
    assert seen == [0.0, *later, 0.0, *later]

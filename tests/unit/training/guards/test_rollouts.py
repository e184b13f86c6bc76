from types import SimpleNamespace

import pytest
import torch
from fakes import HashReward, algorithm, rollout_fit, tiny_policy, trainer

from igpo_lightning.checks import ConfigError
from igpo_lightning.rollout import inpaint
from igpo_lightning.training.guards import ConstantReward, IdenticalCompletions, UnwrittenHints
from igpo_lightning.training.guards.rollouts import identical_groups

MODULE = SimpleNamespace(device="cpu")
GUARDS = "igpo_lightning.training.guards.rollouts"


def rollout(tokens, completion_mask=None, hinted=None, rewards=None, correct=None):
    tokens = torch.tensor(tokens)
    shape = tokens.shape
    hints = torch.zeros(shape, dtype=torch.bool)
    if hinted is not None:
        hints[..., 0] = torch.tensor(hinted)
    return SimpleNamespace(
        tokens=tokens,
        completion_mask=torch.ones(shape, dtype=torch.bool)
        if completion_mask is None
        else torch.tensor(completion_mask).bool(),
        hint_mask=hints,
        rewards=torch.zeros(shape[:2]) if rewards is None else torch.tensor(rewards),
        correct=torch.zeros(shape[:2]).bool() if correct is None else torch.tensor(correct).bool(),
    )


def run_of(rollout=None, temperature=1.0):
    sampler = SimpleNamespace(temperature=temperature)
    return SimpleNamespace(
        datamodule=SimpleNamespace(algorithm=SimpleNamespace(sampler=sampler), rollout=rollout)
    )


def test_groups_are_compared_up_to_the_first_stop():
    same, comparable = identical_groups(
        rollout(
            [[[5, 0, 7], [5, 0, 8]], [[5, 0, 7], [5, 6, 0]], [[5, 0, 7], [5, 0, 7]]],
            completion_mask=[[[1, 1, 0], [1, 1, 0]], [[1, 1, 0], [1, 1, 1]], [[1, 1, 0], [1, 1, 1]]],
        )
    )
    assert same.tolist() == [True, False, False]  # the last two differ in length
    assert comparable.all()


def test_completions_with_hints_are_left_out():
    tokens = [[[9, 1], [5, 6], [5, 6]], [[5, 6], [9, 1], [5, 7]], [[5, 6], [5, 6], [5, 6]]]
    same, comparable = identical_groups(
        rollout(tokens, hinted=[[True, False, False], [False, True, False], [True, True, False]])
    )
    assert same.tolist() == [True, False, False]
    assert comparable.tolist() == [True, True, False]  # one alone is no group


SAME, MIXED = rollout([[[5], [5]]] * 4), rollout([[[5], [5]]] * 3 + [[[5], [6]]])


def test_identical_completions_for_several_rollouts():
    guard = IdenticalCompletions(share=0.8, rollouts=2)
    heard = [guard.inspect_rollout(run_of(), MODULE, w) for w in (SAME, MIXED, SAME, SAME, SAME)]
    assert [bool(text) for text in heard] == [False, False, False, True, True]
    assert "the same in 4 of 4 groups at temperature 1, for 2 rollouts" in heard[3]
    assert IdenticalCompletions(share=0.75, rollouts=1).inspect_rollout(run_of(), MODULE, MIXED)


def test_greedy_completions_are_meant_to_be_identical():
    guard = IdenticalCompletions(rollouts=1)
    assert guard.inspect_rollout(run_of(temperature=0.0), MODULE, SAME) is None


def test_the_whole_rollout_counts_and_not_one_micro_batch():
    guard = IdenticalCompletions(rollouts=1)
    assert guard.inspect_rollout(run_of(rollout=MIXED), MODULE, SAME) is None


def test_all_processes_count(monkeypatch):
    def reduce(mine, how, device):
        return [float(mine[0]) + 1, float(mine[1]) + 4]

    monkeypatch.setattr(f"{GUARDS}.reduce", reduce)
    assert IdenticalCompletions(rollouts=1).inspect_rollout(run_of(), MODULE, SAME) is None
    assert "5 of 8" in IdenticalCompletions(rollouts=1, share=0.6).inspect_rollout(run_of(), MODULE, SAME)


def rewarded(rewards, correct=None):
    return rollout([[[5], [6]]], rewards=[rewards], correct=None if correct is None else [correct])


@pytest.mark.parametrize("rewards, correct, advice", [
    ([0.0, 0.0], [0, 0], "reward is 0 for every completion of the last 2 rollouts: nothing to learn. None"),
    ([1.0, 1.0], [1, 1], "All are correct"),
    ([0.5, 0.5], [0, 1], "Some are correct and some are not"),
])  # fmt: skip
def test_a_constant_reward(rewards, correct, advice):
    guard, batch = ConstantReward(rollouts=2), rewarded(rewards, correct)
    assert guard.inspect_rollout(run_of(), MODULE, batch) is None
    assert advice in guard.inspect_rollout(run_of(), MODULE, batch)


def test_rewards_that_differ_between_completions_rollouts_or_processes(monkeypatch):
    guard, zeros, ones = ConstantReward(rollouts=2), rewarded([0.0, 0.0]), rewarded([1.0, 1.0])
    for batch in (zeros, rewarded([0.0, 1.0]), zeros, ones, zeros):
        assert guard.inspect_rollout(run_of(), MODULE, batch) is None
    for _ in range(4):
        assert guard.inspect_rollout(run_of(), MODULE, rewarded([torch.nan, 0.0])) is None
    monkeypatch.setattr(f"{GUARDS}.reduce", lambda mine, how, device: list(map(max, mine, [-1.0, 1.0])))
    for _ in range(4):
        assert guard.inspect_rollout(run_of(), MODULE, zeros) is None


class DeadSampler:
    """Gives every row the seed 0."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __call__(self, policy, canvas, attention, seeds, **options):
        return self.sampler(policy, canvas, attention, [0] * len(canvas), **options)

    def __getattr__(self, name):
        return getattr(self.sampler, name)


def test_a_sampler_that_ignores_its_seeds(tmp_path):
    sampler = DeadSampler(algorithm().sampler)
    module, data = rollout_fit(tiny_policy(), rollouts=3, sampler=sampler)
    guards = [IdenticalCompletions(rollouts=2), ConstantReward(rollouts=2)]
    with pytest.warns(
        UserWarning, match="rollout 2, update 3: all completions of a group are the same in 4 of 4"
    ):
        trainer(tmp_path, callbacks=guards).fit(module, datamodule=data)
    assert guards[0].alarms == 2  # rollouts 2 and 3


@pytest.mark.parametrize("chunk, message", [
    ((20, 20), "rollout 2, update 3: no second try of 2 rollouts has had a hint"),
    ((1, 1), None),
])  # fmt: skip
def test_chunks_longer_than_the_traces(tmp_path, recwarn, chunk, message):
    """Half of a trace that is a single chunk is no chunk: IGPO would be sampling again."""
    parts = {"inpaint": inpaint(ratio=0.5, chunk=chunk), "reward": HashReward(share=0.0)}
    module, data = rollout_fit(tiny_policy(), rollouts=3, **parts)
    trainer(tmp_path, callbacks=[UnwrittenHints(rollouts=2)]).fit(module, datamodule=data)
    said = [str(w.message) for w in recwarn if "has had a hint" in str(w.message)]
    assert len(said) == bool(message) and all(message in text for text in said)


def test_hints_that_end_during_a_run_are_meant_to():
    guard = UnwrittenHints(rollouts=1)
    run = run_of()
    run.datamodule.algorithm.inpaint = inpaint()
    for hinted, alarm in ((0, True), (3, False), (0, False), (0, False)):
        batch = SimpleNamespace(metrics={"resampled": 8.0, "resampled_hinted": float(hinted)})
        assert bool(guard.inspect_rollout(run, MODULE, batch)) is alarm
    assert guard.state_dict()["written"]  # and a resumed run knows


@pytest.mark.parametrize("make, message", [
    (lambda: IdenticalCompletions(share=2), "callbacks.identical_completions.share=2: expected a number"),
    (lambda: ConstantReward(rollouts=0), "callbacks.constant_reward.rollouts=0: expected a whole number"),
])  # fmt: skip
def test_settings_that_cannot_work(make, message):
    with pytest.raises(ConfigError, match=message):
        make()

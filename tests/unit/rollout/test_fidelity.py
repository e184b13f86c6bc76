import copy

import pytest
import torch
from fakes import encoded, engine, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.rollout import Fidelity
from igpo_lightning.sampling import BlockwiseSampler, LeastEntropy, Threshold
from igpo_lightning.types import Scores


class Ones:
    """A reward of 1 for each of a completion's tokens that is this one."""

    def __init__(self, word):
        self.word = word

    def __call__(self, problems, completions):
        total = torch.tensor([float(text.split().count(self.word)) for text in completions])
        return Scores(total, total > 0)

    def first_box(self):
        return self


def fast(**options):
    return BlockwiseSampler(8, 4, 8, 1.0, **{"acceptance": Threshold(0.01), **options})


def run(policy, sampler, fidelity, index=0, reward=None):
    made = engine(sampler=sampler, fidelity=fidelity, num_generations=4, reward=reward or Ones("3"))
    return made, made.run(policy, encoded(policy, 6), index)


def test_with_an_exact_sampler_nothing_is_done():
    policy = tiny_policy()
    _, plain = run(policy, BlockwiseSampler(8, 4, 8, 1.0), None)
    made, watched = run(policy, BlockwiseSampler(8, 4, 8, 1.0), Fidelity(every=1))
    assert torch.equal(plain.tokens, watched.tokens) and not made.exact
    assert not any(name.startswith("fidelity/") for name in watched.metrics)


def test_what_it_measures():
    policy = tiny_policy()
    made, rollout = run(policy, fast(), Fidelity(every=2, prompts=3, most_lost=100.0))
    found = {name: rollout.metrics[f"fidelity/{name}"] for name in (
        "agreement", "reward_lost", "length_gained", "logp_gained", "exact_row_forwards")}  # fmt: skip
    _, exact = run(policy, fast().exact(), None)
    rows = slice(0, 3)
    lost = exact.rewards[rows].mean() - rollout.rewards[rows].mean()
    assert found["reward_lost"] == pytest.approx(float(lost), abs=1e-6)
    lengths = [r.completion_mask[rows].sum(-1).float().mean() for r in (rollout, exact)]
    assert found["length_gained"] == pytest.approx(float(lengths[0] - lengths[1]), abs=1e-5)
    means = [
        (r.old_logps.sum(2) * r.completion_mask)[rows].sum() / r.completion_mask[rows].sum()
        for r in (rollout, exact)
    ]
    assert found["logp_gained"] == pytest.approx(float(means[0] - means[1]), abs=1e-5)
    assert 0 <= found["agreement"] < 1
    assert found["exact_row_forwards"] == pytest.approx(
        exact.metrics["row_forwards"] / 24, abs=2.1
    )  # of all six prompts there; rows that end early take fewer
    assert rollout.metrics["completions"] == 24  # the comparison's own are not counted as the run's
    assert not made.exact
    assert "fidelity/agreement" not in run(policy, fast(), Fidelity(every=2), index=1)[1].metrics


def test_the_comparison_leaves_the_rollout_as_it_is():
    policy = tiny_policy()
    _, plain = run(policy, fast(), None)
    _, watched = run(policy, fast(), Fidelity(every=1, most_lost=100.0))
    for name in ("tokens", "step_map", "rewards", "old_logps"):
        assert torch.equal(getattr(plain, name), getattr(watched, name))


def test_a_cache_renewed_at_every_step_agrees_wholly():
    policy = tiny_policy()
    sampler = BlockwiseSampler(8, 4, 8, 1.0, order=LeastEntropy(), cache="dual", refresh_every=1)
    sampler.sessions = copy.copy(sampler.sessions)
    assert not sampler.approximate
    sampler.acceptance = copy.copy(sampler.acceptance)
    sampler.acceptance.exact = False  # so that it is compared
    _, rollout = run(policy, sampler, Fidelity(every=1))
    assert rollout.metrics["fidelity/agreement"] == 1.0
    assert rollout.metrics["fidelity/reward_lost"] == 0.0


def test_beyond_the_bound_the_run_goes_on_exactly():
    policy = tiny_policy()
    made = engine(sampler=fast(), fidelity=Fidelity(every=1, least_agreement=1.0), num_generations=4)
    prompts = encoded(policy, 6)
    with pytest.warns(UserWarning, match=r"greedy tokens agree .*least_agreement=1.0"):
        first = made.run(policy, prompts, 0)
    assert made.exact
    second = made.run(policy, prompts, 1)
    assert not any(name.startswith("fidelity/") for name in second.metrics)
    exact = engine(sampler=fast().exact(), num_generations=4).run(policy, prompts, 1)
    assert torch.equal(second.tokens, exact.tokens)
    before = engine(sampler=fast().exact(), num_generations=4).run(policy, prompts, 0)
    assert not torch.equal(first.tokens, before.tokens)


@pytest.mark.parametrize("lost, error, processes, too_much", [
    (0.2, 0.0, 1, True), (0.2, 0.01, 1, False), (0.2, 0.01, 4, True), (0.04, 0.0, 1, False),
])  # fmt: skip
def test_a_loss_counts_where_it_is_outside_the_noise(lost, error, processes, too_much):
    """0.2 ± 2 x 0.1, and over four processes ± 2 x 0.05; the bound is 0.05."""
    found = {"reward_lost": lost, "squared_error": error, "agreement": 1.0}
    fidelity = Fidelity(most_lost=0.05)
    if too_much:
        with pytest.warns(UserWarning, match=r"loses 0.200 ± .* of reward"):
            assert fidelity.too_much(found, processes)
    else:
        assert not fidelity.too_much(found, processes)


@pytest.mark.parametrize(
    "option", [{"every": -1}, {"prompts": 1.5}, {"most_lost": 0}, {"least_agreement": 2}]
)
def test_bad_values(option):
    with pytest.raises(ConfigError, match=rf"algo\.fidelity\.{next(iter(option))}"):
        Fidelity(**option)

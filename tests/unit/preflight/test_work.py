"""Model calls, counted: by hand, and against the counts of a real rollout."""

import pytest
import torch
from fakes import FixedPolicy, algorithm, encoded, source

from igpo_lightning.algos.logprobs import BlockMasking, MeanField, RandomMasking
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.preflight.work import _filling, can_sample_again, of_estimate, of_sampling
from igpo_lightning.rollout import Keep, inpaint, resample
from igpo_lightning.rollout.resampler import Resampler
from igpo_lightning.sampling import BlockwiseSampler


def test_a_completion_takes_a_call_for_every_step():
    # Two blocks of 8 in 2 steps of 4: 8 and 4 positions, twice.
    calls = of_sampling(BlockwiseSampler(16, 8, 4, temperature=1.0))
    assert (calls.forwards, calls.rows, calls.positions, calls.largest) == (4, 4, 24, 8)


def test_rows_are_sampled_together_up_to_a_limit():
    few, all_of_them = (
        _filling("five", 1, BlockwiseSampler(16, 8, 4), 5, most, columns=20) for most in (2, 64)
    )
    assert (few.forwards, few.rows, few.at_once, few.positions) == (12, 20, 2, 16)
    assert (all_of_them.forwards, all_of_them.rows, all_of_them.positions) == (4, 20, 40)


def test_the_count_is_that_of_a_rollout_that_never_ends_early():
    vocabulary = word_level(source().vocabulary())
    never_ends = torch.zeros(len(vocabulary))
    never_ends[:3] = -torch.inf
    policy = FixedPolicy(lambda tokens: never_ends.expand(*tokens.shape, -1), tokenizer=vocabulary)
    chosen = algorithm(num_generations=4, rows_per_forward=3)
    resampler = Resampler(policy, encoded(policy, 2), 0, chosen)
    policy.calls.clear()
    resampler.sample([0, 1], *resampler.blank(2), "sample")
    counted = _filling("eight", 1, chosen.sampler, 8, 3, columns=20)
    assert (len(policy.calls), resampler.cost["row_forwards"]) == (counted.forwards, counted.rows)


@pytest.mark.parametrize("estimator, forwards, rows, positions", [
    (MeanField(), 1, 3, 3 * 16),
    (RandomMasking(), 2, 2 * 3 * 4, 3 * 4 * 16),
    (BlockMasking(8), 4, 4 * 3 * 4, 3 * 4 * 16),
])  # fmt: skip
def test_estimators(estimator, forwards, rows, positions):
    calls = of_estimate(estimator, prompts=3, group_size=4, width=16)
    assert (calls.forwards, calls.rows, calls.positions) == (forwards, rows, positions)


@pytest.mark.parametrize("intervention, expected", [
    (Keep(), False), (resample(0.5), True), (resample(0.2), False), (inpaint(replace=0.25), True),
])  # fmt: skip
def test_second_tries_need_something_to_replace(intervention, expected):
    assert can_sample_again(algorithm(num_generations=4, inpaint=intervention)) is expected

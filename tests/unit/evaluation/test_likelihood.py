"""The estimate against sums that can be worked out."""

import itertools
import math

import pytest
import torch
from fakes import FixedPolicy, tiny_policy

from igpo_lightning.evaluation.likelihood import _masks, is_greedy, log_likelihood

PROMPT, RESPONSE = (4, 5), (2, 3, 2)


def fixed(tokens):
    """The same distribution everywhere: token 2 has 1/2, the others share the rest."""
    logits = torch.zeros(*tokens.shape, 6)
    logits[..., 2] = math.log(5)
    return logits


def by_company(tokens):
    """Token 2 is the likelier, the more columns are written."""
    written = (tokens != 1).sum(-1).float()
    logits = torch.zeros(*tokens.shape, 6)
    logits[..., 2] = written[:, None]
    return logits


def exact(policy, response):
    """Equation 6 of the paper, every l and every set of l masked tokens written out."""
    width, total = len(response), 0.0
    for count in range(1, width + 1):
        sets = list(itertools.combinations(range(width), count))
        for chosen in sets:
            canvas = torch.tensor([[*PROMPT, *response]])
            columns = [len(PROMPT) + i for i in chosen]
            canvas[0, columns] = policy.mask_id
            table = policy(canvas).log_softmax(-1).detach()
            nats = sum(float(table[0, c, response[i]]) for c, i in zip(columns, chosen, strict=True))
            total += width / count * nats / len(sets) / width
    return total


def test_where_context_does_not_matter_it_is_the_sum():
    policy = FixedPolicy(fixed)
    assert log_likelihood(policy, PROMPT, (2,), samples=7) == pytest.approx(math.log(0.5), abs=1e-6)
    assert len(policy.calls) == 1  # one token: one draw is exact
    assert log_likelihood(policy, PROMPT, (2, 2, 2), samples=5) == pytest.approx(3 * math.log(0.5), abs=1e-6)


def test_the_mean_over_draws_is_the_papers_sum():
    policy = FixedPolicy(by_company)
    estimate = log_likelihood(policy, PROMPT, RESPONSE, samples=6000, batch_size=6000)
    assert estimate == pytest.approx(exact(policy, RESPONSE), rel=0.01)


def test_batches_change_nothing_and_seeds_do():
    policy = tiny_policy()
    estimates = [
        log_likelihood(policy, (5, 6, 7), (8, 9, 10, 11), samples=9, batch_size=size, seed=seed)
        for size, seed in ((1, 0), (4, 0), (9, 0), (9, 1))
    ]
    assert estimates[0] == pytest.approx(estimates[1], abs=1e-5) == pytest.approx(estimates[2], abs=1e-5)
    assert estimates[3] != pytest.approx(estimates[0], abs=1e-5)


def test_counts_are_spread_evenly():
    counts = _masks(4, 8, seed=3).sum(-1).tolist()
    assert sorted(counts) == [1, 1, 2, 2, 3, 3, 4, 4]


def test_greedy():
    policy = FixedPolicy(fixed)
    assert is_greedy(policy, PROMPT, (2, 2, 2)) and not is_greedy(policy, PROMPT, RESPONSE)

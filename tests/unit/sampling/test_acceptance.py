"""Rules of acceptance against plain loops over one row, and by hand."""

import math

import pytest
import torch

from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import Budget, EntropyBound, Factor, Quota, Threshold
from igpo_lightning.seeding import torch_rng


def one_row(p, rule, left=1):
    """Columns that ``rule`` writes where the candidates' probabilities are ``p``; None is not empty."""
    masked = torch.tensor([[x is not None for x in p]])
    confidence = torch.tensor([[math.log(x) if x else -math.inf for x in p]], dtype=torch.float64)
    return rule(confidence, None, masked, left)[0].nonzero().flatten().tolist()


def test_quota_by_hand():
    assert one_row([0.2, None, 0.9, 0.5, 0.7], Quota(), left=2) == [2, 4]
    assert one_row([0.2, None, 0.9, 0.5, 0.7], Quota(), left=1) == [0, 2, 3, 4]
    assert one_row([0.5, 0.5, 0.5], Quota(), left=3) == [0]  # of equals the left one


def test_threshold_by_hand():
    assert one_row([0.95, None, 0.89, 0.91], Threshold(0.9)) == [0, 3]
    assert one_row([0.3, None, 0.4, 0.1], Threshold(0.9)) == [2]  # the surest, whatever it is
    assert one_row([0.5, 0.5], Threshold(0.5)) == [0, 1]


def test_factor_by_hand():
    """(n + 1)(1 - p): 2 x 0.05, 3 x 0.1, 4 x 0.25, 5 x 0.3."""
    p = [0.75, 0.95, None, 0.9, 0.7]
    assert one_row(p, Factor(0.05)) == [1]
    assert one_row(p, Factor(0.1001)) == [1]
    assert one_row(p, Factor(0.31)) == [1, 3]
    assert one_row(p, Factor(1.001)) == [0, 1, 3]
    assert one_row(p, Factor(1.51)) == [0, 1, 3, 4]


def test_budget_by_hand():
    """Doubts 0.01, 0.04, 0.08, 0.3 of a budget of 0.1 a token."""
    p = [0.92, 0.99, None, 0.96, 0.7]
    assert one_row(p, Budget(0.9, 1.0)) == [1, 3]
    assert one_row(p, Budget(0.9, 1.31)) == [0, 1, 3]
    assert one_row(p, Budget(0.9, 100.0)) == [0, 1, 3]  # what is below the threshold waits
    assert one_row([0.1, 0.2], Budget(0.9, 1.0)) == [1]


def test_entropy_bound_by_hand():
    """In the order of confidence 0.1, 0.3, 0.05, 2.0 nats: sums less the largest are 0, 0.1, 0.15, 0.45."""
    confidence = torch.tensor([[0.7, 0.9, -torch.inf, 0.8, 0.6]], dtype=torch.float64)
    entropy = torch.tensor([[0.05, 0.1, 0.0, 0.3, 2.0]], dtype=torch.float64)
    masked = confidence > -torch.inf
    for bound, columns in {0.0: [1], 0.11: [1, 3], 0.16: [0, 1, 3], 0.46: [0, 1, 3, 4]}.items():
        assert EntropyBound(bound)(confidence, entropy, masked, 1)[0].nonzero().flatten().tolist() == columns


def plain_threshold(rule, cells):
    return [c for c, p, _ in cells if p >= rule.threshold] or [cells[0][0]]


def plain_factor(rule, cells):
    taken = []
    for n, (c, p, _) in enumerate(cells, 1):
        if (n + 1) * (1 - p) > rule.factor:
            break
        taken.append(c)
    return taken or [cells[0][0]]


def plain_budget(rule, cells):
    taken, spent = [], 0.0
    for c, p, _ in cells:
        spent += 1 - p
        if p <= rule.threshold or spent > rule.tokens * (1 - rule.threshold):
            break
        taken.append(c)
    return taken or [cells[0][0]]


def plain_bound(rule, cells):
    taken, nats = [], []
    for c, _, h in cells:
        nats.append(h)
        if taken and sum(nats) - max(nats) > rule.bound:
            break
        taken.append(c)
    return taken


@pytest.mark.parametrize("rule, plain", [
    (Threshold(0.6), plain_threshold), (Factor(0.7), plain_factor),
    (Budget(0.5, 1.3), plain_budget), (EntropyBound(0.9), plain_bound),
])  # fmt: skip
def test_rules_are_their_plain_loops(rule, plain):
    rng = torch_rng("cells", type(rule).__name__)
    p = torch.rand(300, 9, dtype=torch.float64, generator=rng) ** 0.3
    masked = torch.rand(300, 9, generator=rng) < 0.7
    masked[:, 4] = True
    entropy = torch.rand(300, 9, dtype=torch.float64, generator=rng)
    confidence = p.log().masked_fill(~masked, -torch.inf)
    accepted = rule(confidence, entropy.masked_fill(~masked, 0.0), masked, 2)
    sizes = set()
    for row in range(300):
        cells = [(c, p[row, c].item(), entropy[row, c].item()) for c in range(9) if masked[row, c]]
        cells.sort(key=lambda cell: -cell[1])
        expected = sorted(plain(rule, cells))
        assert accepted[row].nonzero().flatten().tolist() == expected
        sizes.add(len(expected))
    assert len(sizes) > 3  # the numbers tell the rule from others
    assert rule.most_steps(2, 9) == 9


@pytest.mark.parametrize("make, key", [
    (lambda: Threshold(0.0), "threshold=0.0"), (lambda: Threshold(1.1), "threshold=1.1"),
    (lambda: Factor(0.0), "factor=0.0"), (lambda: EntropyBound(-1), "bound=-1"),
    (lambda: Budget(1.0), "threshold=1.0"), (lambda: Budget(0.9, 0.0), "tokens=0.0"),
])  # fmt: skip
def test_bad_values(make, key):
    with pytest.raises(ConfigError, match=f"sampler.acceptance.{key}"):
        make()

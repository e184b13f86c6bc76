"""One group of two completions, by hand.

Completion 0 has advantage 1 and keeps two tokens, of ratio 1.5 and 0.5; completion 1 has advantage -1
and keeps one token of ratio 0.5.
"""

import math

import pytest
import torch

from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.algos.losses.clipped import k3
from igpo_lightning.checks import ConfigError
from igpo_lightning.types import LossInputs

NAN = float("nan")
RATIO = [[1.5, 0.5, NAN], [0.5, NAN, NAN]]
MASK = torch.tensor([[[1, 1, 0], [1, 0, 0]]], dtype=torch.bool)


def inputs(ratio=RATIO, advantages=(1.0, -1.0), mask=MASK, reference=None):
    old = torch.full(mask.shape, -2.0)
    logps = (old + torch.tensor([ratio]).log()).requires_grad_()
    ref = None if reference is None else logps.detach() + torch.tensor([reference]).log()
    return LossInputs(logps, old, ref, torch.tensor([advantages]), mask)


def loss(given, **options):
    value, metrics = ClippedSurrogate(**{"kl": 0.0, **options})(given)
    return value.item(), {name: float(m) for name, m in metrics.items()}


def test_token_ratio():
    """-( (min(1.5, 1.2) + min(0.5, 0.8)) / 2 + min(-0.5, -0.8) ) / 2 = -(0.85 - 0.8) / 2."""
    value, metrics = loss(inputs(), clip=0.2)
    assert value == pytest.approx(-0.025)
    assert metrics["ratio_max"] == pytest.approx(1.5)
    assert metrics["clip_fraction"] == pytest.approx(2 / 3)  # of three kept tokens
    assert metrics["kept_tokens"] == 1.5  # per completion


def test_a_higher_upper_clip():
    """1.5 is within 1 + 0.6: -( (1.5 + 0.5) / 2 - 0.8 ) / 2."""
    value, metrics = loss(inputs(), clip=0.2, clip_high=0.6)
    assert value == pytest.approx(-0.1)
    assert metrics["clip_fraction"] == pytest.approx(1 / 3)


def test_sequence_ratio():
    """exp((log 1.5 + log 0.5) / 2) = sqrt(0.75) = 0.8660, over kept tokens only."""
    value, metrics = loss(inputs(), ratio="sequence", clip=0.2)
    assert value == pytest.approx(-(math.sqrt(0.75) - 0.8) / 2)
    assert metrics["ratio_max"] == 1.0  # never below 1, which tokens that are not kept count as
    assert metrics["clip_fraction"] == pytest.approx(1 / 3)  # the one token of completion 1


@pytest.mark.parametrize("ratio, advantage, slope", [
    (1.5, 1.0, 0.0),  # gain that is clipped
    (1.5, -1.0, 1.5),  # loss that is not
    (0.5, 1.0, -0.5),
    (0.5, -1.0, 0.0),
    (1.0, 2.0, -2.0),
])  # fmt: skip
def test_gradient_stops_only_where_the_gain_is_clipped(ratio, advantage, slope):
    """d(-ρ A)/d log p = -ρ A."""
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    given = inputs([[ratio]], (advantage,), mask)
    ClippedSurrogate(clip=0.2, kl=0.0)(given)[0].backward()
    assert given.logps.grad.item() == pytest.approx(slope)


def test_divergence_by_hand():
    """ref/p of 2, 1 and 0.5: k3 = r - log r - 1 = 0.30685, 0, 0.19315."""
    given = inputs(reference=[[2.0, 1.0, NAN], [0.5, NAN, NAN]])
    assert k3(given.logps, given.ref_logps, MASK)[0].tolist() == [
        pytest.approx([2 - math.log(2) - 1, 0, 0], abs=1e-6),
        pytest.approx([0.5 + math.log(2) - 1, 0, 0], abs=1e-6),
    ]  # fmt: skip
    value, metrics = loss(given, kl=0.1)
    mean = (0.3068528 / 2 + 0.1931472) / 2
    assert metrics["kl"] == pytest.approx(mean, rel=1e-5)
    assert value == pytest.approx(-0.025 + 0.1 * mean, rel=1e-5)
    assert ClippedSurrogate(kl=0.1).needs_reference and not ClippedSurrogate(kl=0).needs_reference


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_completion_without_kept_tokens_counts_as_zero(ratio):
    mask = MASK.clone()
    mask[0, 0] = False
    given = inputs(mask=mask, reference=RATIO)
    value, metrics = loss(given, ratio=ratio, kl=0.0)
    assert value == pytest.approx(0.8 / 2)  # completion 1 alone, over two
    assert metrics["ratio_max"] == 1.0
    empty = inputs(mask=torch.zeros_like(MASK), reference=RATIO)
    value, _ = ClippedSurrogate(ratio=ratio, kl=0.1)(empty)
    value.backward()
    assert value == 0 and (empty.logps.grad == 0).all()


def test_length_does_not_weigh():
    """A completion of one kept token weighs as much as one of two."""
    same = inputs([[1.1, 1.1, NAN], [1.1, NAN, NAN]], (1.0, 1.0))
    value, _ = ClippedSurrogate(kl=0.0)(same)
    value.backward()
    assert value.item() == pytest.approx(-1.1)
    assert same.logps.grad[0, 0, :2].tolist() == pytest.approx([-1.1 / 4] * 2)
    assert same.logps.grad[0, 1, 0].item() == pytest.approx(-1.1 / 2)


def test_bad_values_are_refused():
    with pytest.raises(ConfigError, match=r"algo.loss.ratio: 'tokens' is not one of token, sequence"):
        ClippedSurrogate(ratio="tokens")
    for bad in ({"clip": -0.1}, {"clip_high": -0.1}, {"kl": -1.0}):
        with pytest.raises(ConfigError, match="must not be negative"):
            ClippedSurrogate(**bad)

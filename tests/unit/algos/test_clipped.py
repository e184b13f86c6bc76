"""One group of two completions, by hand.

Completion 0 has advantage 1 and keeps two tokens, of ratio 1.5 and 0.5; completion 1 has advantage -1
and keeps one token of ratio 0.5.
"""

import math
from dataclasses import replace

import pytest
import torch
from fakes import loss_inputs

from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.algos.losses.clipped import k3
from igpo_lightning.checks import ConfigError

NAN = float("nan")
PER_COMPLETION = ("logps", "old", "mask", "unfiltered", "advantages")
RATIO = [[1.5, 0.5, NAN], [0.5, NAN, NAN]]
MASK = torch.tensor([[[1, 1, 0], [1, 0, 0]]], dtype=torch.bool)


def inputs(ratio=RATIO, advantages=(1.0, -1.0), mask=MASK, reference=None):
    old = torch.full(mask.shape, -2.0)
    logps = old + torch.tensor([ratio]).log()
    ref = None if reference is None else logps + torch.tensor([reference]).log()
    given = loss_inputs(logps, old, ref, torch.tensor([advantages]), mask)
    given.logps.requires_grad_()
    return given


def loss(given, **options):
    value, metrics = ClippedSurrogate(**{"beta": 0.0, **options})(given)
    return value.item(), {name: float(m) for name, m in metrics.items()}


def test_token_ratio():
    """-( (min(1.5, 1.2) + min(0.5, 0.8)) / 2 + min(-0.5, -0.8) ) / 2 = -(0.85 - 0.8) / 2."""
    value, metrics = loss(inputs(), epsilon=0.2)
    assert value == pytest.approx(-0.025)
    assert metrics["ratio_max"] == pytest.approx(1.5)
    assert metrics["clip_fraction"] == pytest.approx(2 / 3)  # of three kept tokens
    assert metrics["kept_tokens"] == 1.5  # per completion


def test_a_higher_upper_clip():
    """1.5 is within 1 + 0.6: -( (1.5 + 0.5) / 2 - 0.8 ) / 2."""
    value, metrics = loss(inputs(), epsilon=0.2, epsilon_high=0.6)
    assert value == pytest.approx(-0.1)
    assert metrics["clip_fraction"] == pytest.approx(1 / 3)


def test_sequence_ratio():
    """exp((log 1.5 + log 0.5) / 2) = sqrt(0.75) = 0.8660, over kept tokens only."""
    value, metrics = loss(inputs(), importance_sampling_level="sequence", epsilon=0.2)
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
    ClippedSurrogate(epsilon=0.2, beta=0.0)(given)[0].backward()
    assert given.logps.grad.item() == pytest.approx(slope)


def test_divergence_by_hand():
    """ref/p of 2, 1 and 0.5: k3 = r - log r - 1 = 0.30685, 0, 0.19315."""
    given = inputs(reference=[[2.0, 1.0, NAN], [0.5, NAN, NAN]])
    assert k3(given.logps, given.ref, given.mask)[0, :, 0].tolist() == [
        pytest.approx([2 - math.log(2) - 1, 0, 0], abs=1e-6),
        pytest.approx([0.5 + math.log(2) - 1, 0, 0], abs=1e-6),
    ]  # fmt: skip
    value, metrics = loss(given, beta=0.1)
    mean = (0.3068528 / 2 + 0.1931472) / 2
    assert metrics["kl"] == pytest.approx(mean, rel=1e-5)
    assert value == pytest.approx(-0.025 + 0.1 * mean, rel=1e-5)
    assert ClippedSurrogate(beta=0.1).needs_reference and not ClippedSurrogate(beta=0).needs_reference


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_a_completion_without_kept_tokens_counts_as_zero(level):
    mask = MASK.clone()
    mask[0, 0] = False
    given = inputs(mask=mask, reference=RATIO)
    value, metrics = loss(given, importance_sampling_level=level, beta=0.0)
    assert value == pytest.approx(0.8 / 2)  # completion 1 alone, over two
    assert metrics["ratio_max"] == 1.0
    empty = inputs(mask=torch.zeros_like(MASK), reference=RATIO)
    value, _ = ClippedSurrogate(importance_sampling_level=level, beta=0.1)(empty)
    value.backward()
    assert value == 0 and (empty.logps.grad == 0).all()


def test_length_does_not_weigh():
    """A completion of one kept token weighs as much as one of two."""
    same = inputs([[1.1, 1.1, NAN], [1.1, NAN, NAN]], (1.0, 1.0))
    value, _ = ClippedSurrogate(beta=0.0)(same)
    value.backward()
    assert value.item() == pytest.approx(-1.1)
    assert same.logps.grad[0, 0, 0, :2].tolist() == pytest.approx([-1.1 / 4] * 2)
    assert same.logps.grad[0, 1, 0, 0].item() == pytest.approx(-1.1 / 2)


@pytest.mark.parametrize("loss_type, expected", [
    # gains: 1.2 and 0.5 of completion 0, -0.8 of completion 1
    ("grpo", -((1.2 + 0.5) / 2 - 0.8) / 2),
    ("dapo", -(1.2 + 0.5 - 0.8) / 3),
    ("dr_grpo", -(1.2 + 0.5 - 0.8) / (2 * 3)),
])  # fmt: skip
def test_normalisations_by_hand(loss_type, expected):
    assert loss(inputs(), loss_type=loss_type)[0] == pytest.approx(expected)


def test_a_token_of_the_update_weighs_the_same_in_every_micro_batch():
    """Completions 0 and 1 in micro-batches of their own: their mean is the whole update's loss."""
    whole = inputs()
    parts = [
        replace(
            whole,
            **{n: getattr(whole, n)[:, g : g + 1] for n in PER_COMPLETION},
            parts=2,
        )
        for g in (0, 1)
    ]
    each = [loss(part, loss_type="dapo")[0] for part in parts]
    assert sum(each) / 2 == pytest.approx(loss(whole, loss_type="dapo")[0])


def test_weights_of_draws_count_in_every_mean():
    """Weights 3 and 1 of completion 0: its gain is (3 · 1.2 + 0.5) / 4."""
    weighted = replace(inputs(), weight=torch.tensor([[[[3.0, 1.0, 1.0]], [[2.0, 1.0, 1.0]]]]))
    assert loss(weighted)[0] == pytest.approx(-((3.6 + 0.5) / 4 - 0.8) / 2)
    ratio = math.exp((3 * math.log(1.5) + math.log(0.5)) / 4)
    value, _ = loss(weighted, importance_sampling_level="sequence")
    assert value == pytest.approx(-(min(ratio, 1.2) - 0.8) / 2)


def test_advantages_may_differ_by_token():
    given = replace(inputs(), advantages=torch.tensor([[[1.0, -1.0, 5.0], [-1.0, 5.0, 5.0]]]))
    assert loss(given)[0] == pytest.approx(-((1.2 - 0.8) / 2 - 0.8) / 2)


def test_a_ratio_stays_finite_whatever_the_log_probs_are():
    """Log-probs 500 nats apart: exp would be infinite, and its product with 0 not a number."""
    given = replace(inputs(reference=RATIO), logps=torch.full((1, 2, 1, 3), 500.0, requires_grad=True))
    value, _ = ClippedSurrogate(beta=0.1)(given)
    value.backward()
    assert value.isfinite() and given.logps.grad.isfinite().all()


def test_bad_values_are_refused():
    with pytest.raises(ConfigError, match="importance_sampling_level=tokens: expected one of"):
        ClippedSurrogate("tokens")
    for bad in ({"epsilon": -0.1}, {"epsilon_high": -0.1}, {"beta": -1.0}):
        with pytest.raises(ConfigError, match="must not be negative"):
            ClippedSurrogate(**bad)

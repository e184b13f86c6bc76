"""Options of the surrogate, the soft gate and the bound that is additive over draws, by hand."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import loss_inputs

from igpo_lightning.algos.losses import ClippedSurrogate, LinearBound, LossInputs, SoftGate
from igpo_lightning.algos.losses.kl import LEVELS
from igpo_lightning.algos.losses.ratios import RATIOS
from igpo_lightning.checks import ConfigError

LN2 = math.log(2)


def one(ratio, advantage, **changes):
    """One completion of one token."""
    old = torch.full((1, 1, 1), -2.0)
    logps = (old + math.log(ratio)).requires_grad_()
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    return loss_inputs(logps, old, changes.get("ref"), torch.tensor([[advantage]]), mask)


def taken(loss, given):
    """(loss, its slope by the log-prob)."""
    value, _ = loss(given)
    (slope,) = torch.autograd.grad(value, given.logps)
    return value.item(), slope.sum().item()


@pytest.mark.parametrize("ratio, advantage, expected", [
    (5.0, -1.0, (3.0, 0.0)),    # without it: 5, slope 5
    (2.0, -1.0, (2.0, 2.0)),    # not yet 3
    (0.5, -1.0, (0.8, 0.0)),    # clipped from below as ever
    (5.0, 1.0, (-1.2, 0.0)),    # where A > 0 nothing changes
])  # fmt: skip
def test_dual_clip(ratio, advantage, expected):
    assert taken(
        ClippedSurrogate(epsilon=0.2, beta=0.0, dual_clip=3.0), one(ratio, advantage)
    ) == pytest.approx(expected)


def test_dual_clip_counts_as_clipped():
    for clip, fraction in ((3.0, 1.0), (None, 0.0)):
        _, metrics = ClippedSurrogate(beta=0.0, dual_clip=clip)(one(5.0, -1.0))
        assert metrics["clip_fraction"] == fraction
    with pytest.raises(ConfigError, match=r"algo.loss.dual_clip=1.0"):
        ClippedSurrogate(dual_clip=1.0)


@pytest.mark.parametrize(
    "ratio, advantage, tau", [(1.0, 2.0, 1.0), (1.5, 1.0, 1.0), (3.0, -1.0, 2.0), (0.2, -1.0, 2.0)]
)
def test_soft_gate(ratio, advantage, tau):
    """-4/τ σ(τ(ρ-1)) A; its slope by log p is -4 σ(1-σ) ρ A, which is -ρ A at ρ = 1."""
    gate = 1 / (1 + math.exp(-tau * (ratio - 1)))
    expected = (-4 / tau * gate * advantage, -4 * gate * (1 - gate) * ratio * advantage)
    assert taken(SoftGate(temperature_negative=2.0, beta=0.0), one(ratio, advantage)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("kind, expected", [
    ("k1", -LN2), ("k2", LN2**2 / 2), ("k3", 2 - LN2 - 1),  # q/p = 2
])  # fmt: skip
def test_kinds_of_kl(kind, expected):
    given = one(1.0, 0.0, ref=torch.full((1, 1, 1), -2.0 + LN2))
    value, metrics = ClippedSurrogate(beta=0.1, kl_estimator=kind)(given)
    assert (value.item(), metrics["kl"].item()) == pytest.approx((0.1 * expected, expected), rel=1e-5)


def test_kl_to_the_policy_that_sampled():
    """p/p_old = 2: k3 of ½ is ½ - ln ½ - 1. No reference is needed."""
    loss = ClippedSurrogate(beta=1.0, kl_to="old")
    assert not loss.needs_reference and ClippedSurrogate(beta=1.0).needs_reference
    assert taken(loss, one(2.0, 0.0))[0] == pytest.approx(0.5 + LN2 - 1)


def test_kl_of_a_sequence():
    """Differences ln 2 and ln 8 of two tokens of three: their mean is 2 ln 2, and the KL 2 · (2 ln 2)²/2."""
    logps = torch.zeros(1, 1, 1, 3)
    other = torch.tensor([2.0, 8.0, 64.0]).log().view(1, 1, 1, 3)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    assert LEVELS["sequence"]("k2", logps, other, mask, None).item() == pytest.approx(4 * LN2**2)
    weight = torch.tensor([3.0, 1.0, 9.0]).view(1, 1, 1, 3)  # the mean is (3 ln 2 + 3 ln 2) / 4
    assert LEVELS["sequence"]("k2", logps, other, mask, weight).item() == pytest.approx((1.5 * LN2) ** 2)


def two_draws(advantage, differences, mask, weight):
    """One completion; log p - log p_old of two draws and two tokens."""
    old = torch.full((1, 1, 2, 2), -3.0)
    logps = (old + torch.tensor(differences).view(1, 1, 2, 2)).requires_grad_()
    flags = torch.tensor(mask, dtype=torch.bool).view(1, 1, 2, 2)
    return LossInputs(
        logps=logps, old=old, ref=old - LN2, mask=flags, unfiltered=flags,
        weight=torch.tensor(weight).view(1, 1, 2, 2), advantages=torch.tensor([[advantage]]),
        rewards=torch.zeros(1, 1), update_tokens=flags.sum().float(), parts=1,
    )  # fmt: skip


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_combined_draws(loss_type):
    """Both draws score both tokens, token 0 with weights ½ and 2, token 1 with ½ and 1: exp(½a + 2b), ….

    The KL is of the weighted sums, too: log q - log p = -(½ + 2) ln 2 and -1.5 ln 2 at equal policies.
    """
    given = two_draws(1.0, [[0.2, 0.4], [0.1, -0.3]], [[1, 1], [1, 1]], [[0.5, 0.5], [2.0, 1.0]])
    ratios = [math.exp(0.1 + 0.2), math.exp(0.2 - 0.3)]
    options = {"combine_draws": True, "epsilon": 9.0, "loss_type": loss_type}
    value, metrics = ClippedSurrogate(beta=0.0, **options)(given)
    assert value.item() == pytest.approx(-sum(ratios) / 2, rel=1e-5)
    assert metrics["ratio_max"].item() == pytest.approx(ratios[0], rel=1e-5)
    same = replace(given, logps=given.old.clone().requires_grad_())
    _, metrics = ClippedSurrogate(beta=1.0, **options)(same)
    d = [-2.5 * LN2, -1.5 * LN2]
    assert metrics["kl"].item() == pytest.approx(sum(math.exp(v) - v - 1 for v in d) / 2, rel=1e-5)


@pytest.mark.parametrize(("loss_type", "expected"), [
    ("grpo", (0.5 * 1.2 + 2 * 1.1 + 1 * 0.7) / 3.5),
    ("dapo", (0.5 * 1.2 + 2 * 1.1 + 1 * 0.7) / 14),   # 14: the weight of the update
    ("dr_grpo", (0.5 * 1.2 + 2 * 1.1 + 1 * 0.7) / 2),  # of two columns
])  # fmt: skip
def test_means_over_weighted_draws(loss_type, expected):
    """Draw 0 has token 0 with weight ½, draw 1 both with weights 2 and 1, in one of two micro-batches."""
    logs = [[math.log(1.2), 5.0], [math.log(1.1), math.log(0.7)]]
    given = two_draws(1.0, logs, [[1, 0], [1, 1]], [[0.5, 9.0], [2.0, 1.0]])
    given = replace(given, update_tokens=torch.tensor(12.0), update_weight=torch.tensor(28.0), parts=2)
    value, _ = ClippedSurrogate(beta=0.0, epsilon=9.0, loss_type=loss_type)(given)
    assert value.item() == pytest.approx(-expected, rel=1e-5)
    combined = {"combine_draws": True, "loss_type": "dapo"}  # there a token counts as often as it is scored
    same = replace(given, logps=given.old.clone().requires_grad_())
    assert ClippedSurrogate(beta=0.0, **combined)(same)[0].item() == pytest.approx(-3 * 2 / 12)


def test_combined_draws_touch_nothing_outside_the_mask():
    """Token 1 is scored in the first draw alone, and what stands in the second is rubbish."""
    given = two_draws(1.0, [[0.2, 0.4], [0.1, float("nan")]], [[1, 1], [1, 0]], [[1.0, 1.0], [1.0, 1.0]])
    value, slope = taken(ClippedSurrogate(beta=0.1, epsilon=9.0, combine_draws=True), given)
    assert math.isfinite(value) and math.isfinite(slope)


@pytest.mark.parametrize("advantage, expected", [
    (1.0, -((1 + 0.15) + (1 - 0.1)) / 2),                       # 1 + Δ, Δ the mean of a draw's differences
    (-1.0, (math.exp(0.15) + math.exp(-0.1)) / 2),
])  # fmt: skip
def test_a_bound_for_each_draw(advantage, expected):
    given = two_draws(advantage, [[0.1, 0.2], [-0.1, 7.0]], [[1, 1], [1, 0]], [[1.0, 1.0], [2.0, 2.0]])
    assert LinearBound(beta=0.0)(given)[0].item() == pytest.approx(expected, rel=1e-5)


def test_a_bound_is_clipped_and_dual_clipped():
    """Δ = ln 2 and -2: 1 + Δ is cut at 1.2, and -1 stays, where exp(log(1 + Δ)) is NaN; e^2 counts as 3."""
    flags = {"mask": [[1, 0], [1, 0]], "weight": [[1.0, 1.0], [1.0, 1.0]]}
    up = LinearBound(beta=0.0, epsilon=0.2)(two_draws(1.0, [[LN2, 0.0], [-2.0, 0.0]], **flags))[0]
    assert up.item() == pytest.approx(-(1.2 - 1.0) / 2)
    down = LinearBound(beta=0.0, epsilon=0.2)(two_draws(-1.0, [[2.0, 0.0], [-2.0, 0.0]], **flags))[0]
    assert down.item() == pytest.approx((3.0 + 0.8) / 2)


@pytest.mark.parametrize("bad", [
    {"kl_estimator": "k4"}, {"kl_to": "base"}, {"kl_level": "draw"}, {"loss_type": "mean"},
])  # fmt: skip
def test_bad_values_are_refused(bad):
    with pytest.raises(ConfigError, match=rf"algo.loss.{next(iter(bad))}="):
        ClippedSurrogate(**bad)
    with pytest.raises(ConfigError, match=r"algo\.loss\.temperature"):
        SoftGate(temperature=0.0)


def test_a_step_has_the_ratio_and_the_kl_of_its_tokens_together():
    """By hand: two steps of two tokens; differences ln 2 and ln 2, so 4; ln 2 and masked, so 2."""
    difference = torch.tensor([[[[LN2, LN2, 9.0], [LN2, 9.0, 9.0]]]])
    mask = difference < 1
    ratio = RATIOS["step"](difference.masked_fill(~mask, 0.0), mask, None)
    torch.testing.assert_close(ratio, torch.tensor([[[[4.0], [2.0]]]]))
    kl = LEVELS["step"]("k3", torch.zeros_like(difference), difference, mask, None)
    torch.testing.assert_close(kl, torch.tensor([[[[4 - 2 * LN2 - 1], [2 - LN2 - 1]]]]))
    # Each step weighs the same: the mean of min(4 A, 1.5 A) and min(2 A, 1.5 A), of A = 1 and A = -1
    nothing, ones = torch.zeros(1, 1, 3), torch.ones(1, 1, 3, dtype=torch.bool)
    x = replace(
        loss_inputs(nothing, nothing, None, torch.ones(1, 1), ones),
        logps=difference.masked_fill(~mask, 0.0), old=difference * 0, mask=mask, unfiltered=mask,
        weight=torch.tensor([[[[0.5] * 3, [1.0] * 3]]]), advantages=torch.tensor([[[1.0, 1.0, 0.0]]]),
    )  # fmt: skip
    loss = ClippedSurrogate("step", epsilon=0.2, epsilon_high=0.5, beta=0.0)
    assert loss(x)[0].item() == pytest.approx(-1.5)
    assert loss(replace(x, advantages=-x.advantages))[0].item() == pytest.approx((4 + 2) / 2)

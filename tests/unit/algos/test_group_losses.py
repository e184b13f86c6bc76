"""Losses without a ratio, by hand: bounds, softmaxes over the group, preferences."""

import math

import pytest
import torch

from igpo_lightning.algos.losses import GroupSoftmax, LossInputs, Preference, Sandwich
from igpo_lightning.algos.losses.bounds import elbo, elbo_per_token, eubo_per_token
from igpo_lightning.checks import ConfigError

# Two completions, two draws, two tokens. Of completion 0 token 0 is scored, then both; of 1 both, then none.
MASK = torch.tensor([[[[1, 0], [1, 1]], [[1, 1], [0, 0]]]], dtype=torch.bool)
LOGPS = torch.tensor([[[[0.5, 9.0], [0.25, 0.5]], [[0.5, 0.25], [9.0, 9.0]]]]).log()
WEIGHT = (
    torch.tensor([[[[2.0, 2.0], [1.0, 1.0]], [[1.0, 1.0], [4.0, 4.0]]]]) / 2
)  # length 2 over scored, over 2 draws


def inputs(advantages=(1.0, -1.0), logps=LOGPS, old=None, ref=None, mask=MASK, weight=WEIGHT, rewards=None):
    given = torch.tensor([advantages])
    return LossInputs(
        logps=logps.clone().requires_grad_(), old=logps if old is None else old, ref=ref, mask=mask,
        unfiltered=mask, weight=weight, advantages=given,
        rewards=given if rewards is None else torch.tensor([rewards]),
        update_tokens=mask.sum().float(), parts=1,
    )  # fmt: skip


LN2 = math.log(2)


def test_the_elbo_of_all_draws():
    """Completion 0: 1 · ln ½ + ½ · (ln ¼ + ln ½) = -2.5 ln 2; completion 1: ½ · (ln ½ + ln ¼) = -1.5 ln 2."""
    assert elbo(LOGPS, MASK, WEIGHT)[0].tolist() == pytest.approx([-2.5 * LN2, -1.5 * LN2])
    assert elbo(LOGPS, MASK, None)[0].tolist() == pytest.approx([-4 * LN2, -3 * LN2])


def test_the_elbo_per_token():
    """Draws of completion 0: -ln 2 and -1.5 ln 2. Completion 1 has one draw: -1.5 ln 2."""
    assert elbo_per_token(LOGPS, MASK)[0].tolist() == pytest.approx([-1.25 * LN2, -1.5 * LN2])


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_the_eubo_per_token(power):
    """Token 0 of completion 0: 1 · ½^b + ½ · ¼^b; token 1: ½ · ½^b. Of completion 1: ½ · ½^b and ½ · ¼^b."""
    b = power
    first = [math.log(0.5**b + 0.5 * 0.25**b), math.log(0.5 * 0.5**b)]
    second = [math.log(0.5 * 0.5**b), math.log(0.5 * 0.25**b)]
    expected = [sum(first) / 2 / b, sum(second) / 2 / b]
    assert eubo_per_token(LOGPS, MASK, WEIGHT, power)[0].tolist() == pytest.approx(expected)


def test_the_sandwich():
    """Completion 0, A = 1: its ELBO; completion 1, A = -1: half of both. Lengths 2, 1 by the weights."""
    loss, metrics = Sandwich(mix=0.5, power=1.0)(inputs())
    eubo = (math.log(0.25) + math.log(0.125)) / 2
    tokens = [1 + 0.5 * 2, 0.5 * 2]
    bounds = [-1.25 * LN2, 0.5 * eubo - 0.5 * 1.5 * LN2]
    assert loss.item() == pytest.approx(-(tokens[0] * bounds[0] - tokens[1] * bounds[1]) / sum(tokens))
    assert metrics["elbo"].item() == pytest.approx((-1.25 - 1.5) / 2 * LN2)


def test_no_upper_bound_is_reinforce():
    loss, metrics = Sandwich(mix=0.0)(inputs((0.5, -1.0)))
    assert loss.item() == pytest.approx(-(2 * 0.5 * -1.25 * LN2 + 1 * 1.5 * LN2) / 3)
    assert metrics["bounds_apart"] == 0


@pytest.mark.parametrize("moved, weights", [
    ((0.0, LN2), (1 / 3, 2 / 3)),
    ((0.0, 5.0), (1 / 6, 5 / 6)),  # e^5 is cut at 5
])  # fmt: skip
def test_self_normalised_weights(moved, weights):
    old = LOGPS - torch.tensor([moved]).view(1, 2, 1, 1)
    loss, metrics = Sandwich(mix=0.0, weight_clip=5.0)(inputs((1.0, -2.0), old=old))
    assert loss.item() == pytest.approx(-(weights[0] * -1.25 * LN2 + weights[1] * 2 * 1.5 * LN2), rel=1e-5)
    assert metrics["weight_max"].item() == pytest.approx(weights[1], rel=1e-5)


def test_weighted_likelihood_of_wd1():
    """A = ±1: e/(e + 1/e) - (1/e)/(e + 1/e) = tanh 1, times the sums of log-probs -4 ln 2 and -3 ln 2."""
    given = inputs(weight=None)
    loss, metrics = GroupSoftmax()(given)
    assert loss.item() == pytest.approx(-math.tanh(1) * (-4 * LN2 + 3 * LN2))
    assert metrics["weight_max"].item() == pytest.approx(math.tanh(1))
    loss.backward()
    weight = math.tanh(1)
    expected = torch.tensor([[[-weight, 0], [-weight, -weight]], [[weight, weight], [0, 0]]])
    torch.testing.assert_close(given.logps.grad[0], expected)


def test_likelihood_of_what_is_good_alone():
    """w = softmax(±1) = 0.8808, 0.1192; means over tokens -4/3 ln 2 and -1.5 ln 2."""
    good = 1 / (1 + math.exp(-2))
    loss, metrics = GroupSoftmax(negative=0.0, per_token=True)(inputs(weight=None))
    assert loss.item() == pytest.approx((good * 4 / 3 + (1 - good) * 1.5) * LN2)
    assert metrics["effective_share"].item() == pytest.approx(1 / (good**2 + (1 - good) ** 2) / 2)


def test_a_group_without_signal_has_no_gradient():
    given = inputs((0.0, 0.0))
    loss, _ = GroupSoftmax(temperature=0.04)(given)
    loss.backward()
    assert loss == 0 and (given.logps.grad == 0).all()


def test_the_reward_tilted_reference_of_dmpo():
    """ELBO_ref - ELBO_old is ln 3 for completion 0; A/τ = ±½: softmaxes of (ln 3 ± ½, ∓½)."""
    ref = LOGPS.clone()
    ref[0, 0, 0, 0] += math.log(3)  # of weight 1
    assert GroupSoftmax(tilted=True).needs_reference and not GroupSoftmax().needs_reference
    loss, _ = GroupSoftmax(temperature=2.0, tilted=True, per_token=True)(inputs(ref=ref))
    up, down = (1 / (1 + math.exp(s) / 3) for s in (-1, 1))
    means = [(1 * -1 + 0.5 * -2 + 0.5 * -1) / 2 * LN2, -1.5 * LN2]  # weighted, over weights of 2 and 1
    expected = -((up - down) * means[0] + ((1 - up) - (1 - down)) * means[1])
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_preferences_by_hand():
    """ELBOs moved from the reference by 1 and -1 nats; rewards 1 and 0: -log σ(0.5 · 2)."""
    ref = LOGPS.clone()
    ref[0, 0, 0, 0] -= 1.0  # of weight 1
    ref[0, 1, 0, 0] += 2.0  # of weight ½
    loss, metrics = Preference(beta=0.5)(inputs(ref=ref, rewards=(1.0, 0.0)))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.0)), rel=1e-5)
    assert (metrics["pairs"], float(metrics["agreed"])) == (1, 1)
    loss, metrics = Preference(beta=0.5)(inputs(ref=ref, rewards=(0.0, 1.0)))
    assert (
        loss.item() == pytest.approx(math.log(1 + math.exp(1.0)), rel=1e-5) and float(metrics["agreed"]) == 0
    )
    assert Preference().needs_reference
    _, metrics = Preference(beta=0.5)(inputs(ref=ref, rewards=(1.0, 1.0)))
    assert tuple(metrics["agreed"]) == (0, 0)  # of no pairs: left out of the mean


def test_equal_rewards_make_no_pair():
    given = inputs(ref=LOGPS, rewards=(1.0, 1.0))
    loss, metrics = Preference()(given)
    loss.backward()
    assert loss == 0 and metrics["pairs"] == 0 and (given.logps.grad == 0).all()


@pytest.mark.parametrize("loss", [Sandwich(), GroupSoftmax()])
def test_advantages_of_tokens_are_refused(loss):
    with pytest.raises(ConfigError, match=r"algo\.advantage"):
        loss(inputs(advantages=((1.0, 2.0), (1.0, -3.0))))


@pytest.mark.parametrize("make", [
    lambda: Sandwich(mix=1.5), lambda: Sandwich(power=0.0), lambda: Sandwich(weight_clip=1.0),
    lambda: GroupSoftmax(temperature=0.0), lambda: GroupSoftmax(negative=-1.0), lambda: Preference(beta=0.0),
])  # fmt: skip
def test_bad_values_are_refused(make):
    with pytest.raises(ConfigError, match=r"algo\.loss\."):
        make()

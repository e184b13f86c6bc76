"""Gradients of every loss and every estimator against finite differences in float64."""

import math
from dataclasses import replace

import pytest
import torch
from fakes import rollout_batch, tiny_policy

from igpo_lightning.algos.logprobs import (
    BlockMasking,
    LeftToRight,
    LevelMasking,
    MeanField,
    RandomBlock,
    RandomMasking,
    Replay,
    score,
)
from igpo_lightning.algos.losses import (
    ClippedSurrogate,
    GroupSoftmax,
    LinearBound,
    LossInputs,
    Preference,
    Sandwich,
    SoftGate,
)
from igpo_lightning.algos.losses.bounds import elbo_per_token
from igpo_lightning.models import Policy, TokenScores
from igpo_lightning.seeding import torch_rng

LOSSES = {
    "token": ClippedSurrogate(beta=0.1),
    "sequence": ClippedSurrogate("sequence", beta=0.1, kl_estimator="k2", kl_level="sequence"),
    "step": ClippedSurrogate("step", beta=0.1, kl_level="step", epsilon_high=0.5),
    "dual clip": ClippedSurrogate(beta=0.1, dual_clip=1.3, kl_estimator="k1", loss_type="dapo"),
    "combined": ClippedSurrogate(beta=0.1, combine_draws=True, kl_to="old", loss_type="dr_grpo"),
    "soft gate": SoftGate(beta=0.1),
    "linear bound": LinearBound(beta=0.1),
    "sandwich": Sandwich(),
    "upper bound": Sandwich(mix=1.0, power=1.0),
    "wd1": GroupSoftmax(),
    "dmpo": GroupSoftmax(temperature=0.5, tilted=True, per_token=True),
    "preference": Preference(),
}
ESTIMATORS = {
    "mean field": MeanField(),
    "hidden prompt": MeanField(0.3),
    "coupled": RandomMasking(),
    "blocks": BlockMasking(8),
    "levels": LevelMasking(2, "stratified", complement=True, full=0.5),
    "random block": RandomBlock(8),
    "replay": Replay(16, merge=2),
    "left to right": LeftToRight(4),
}


def some_inputs(shape=(2, 3, 2, 5)):
    """Differences of log-probs up to 0.5, some of them clipped; masks and weights at random."""
    rng = torch_rng(7, "finite-differences")

    def noise(*size):
        return torch.rand(*size, generator=rng, dtype=torch.float64, device="cpu")

    old = -3 * noise(*shape)
    mask = noise(*shape) < 0.7
    return LossInputs(
        logps=old + noise(*shape) - 0.5, old=old, ref=old + noise(*shape) - 0.5, mask=mask, unfiltered=mask,
        weight=0.2 + noise(*shape), advantages=noise(*shape[:2]) - 0.5, rewards=noise(*shape[:2]).round(),
        update_tokens=mask.sum().double(), parts=1,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["token", "sequence", "step", "dual clip", "combined", "soft gate"])
def test_of_a_loss_with_advantages_of_tokens(name):
    """As of replayed steps, or of groups without a difference."""
    x = some_inputs()
    noise = torch.rand(
        x.mask[:, :, 0].shape, generator=torch_rng(8, "tokens"), dtype=torch.float64, device="cpu"
    )
    x = replace(x, advantages=noise - 0.5)
    logps = x.logps.clone().requires_grad_()

    def loss(values):
        return LOSSES[name](replace(x, logps=values))[0]

    assert torch.autograd.gradcheck(loss, logps, eps=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_of_a_loss(name):
    x = some_inputs()
    logps = x.logps.clone().requires_grad_()

    def loss(values):
        return LOSSES[name](replace(x, logps=values))[0]

    assert torch.autograd.gradcheck(loss, logps, eps=1e-6, atol=1e-7)
    (slope,) = torch.autograd.grad(loss(logps), logps)
    assert (slope[~x.mask] == 0).all() and slope.abs().max() > 1e-3


def test_of_self_normalised_weights_which_have_no_gradient():
    x = some_inputs()
    logps = x.logps.clone().requires_grad_()
    (slope,) = torch.autograd.grad(Sandwich(mix=0.0, weight_clip=5.0)(replace(x, logps=logps))[0], logps)
    fixed = (elbo_per_token(x.logps, x.mask) - elbo_per_token(x.old, x.mask)).softmax(1)

    def loss(values):
        return -(fixed * x.advantages * elbo_per_token(values, x.mask)).sum(1).mean()

    h, expected = 1e-6, torch.zeros_like(slope)
    for at in range(slope.numel()):
        step = torch.zeros_like(slope)
        step.view(-1)[at] = h
        expected.view(-1)[at] = (loss(x.logps + step) - loss(x.logps - step)) / (2 * h)
    torch.testing.assert_close(slope, expected, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 3.0])
def test_nothing_outside_the_mask_has_a_say(name, junk):
    x = some_inputs()

    def taken(given):
        logps = given.logps.clone().requires_grad_()
        value, metrics = LOSSES[name](replace(given, logps=logps))
        return value, torch.autograd.grad(value, logps)[0], {key: float(v) for key, v in metrics.items()}

    value, slope, metrics = taken(x)
    for field in ("logps", "old", "ref"):
        got, got_slope, got_metrics = taken(
            replace(x, **{field: getattr(x, field).masked_fill(~x.mask, junk)})
        )
        assert torch.equal(got, value) and torch.equal(got_slope, slope) and got_metrics == metrics, field


@pytest.mark.parametrize("name", [*LOSSES, "self-normalised"])
def test_micro_batches_add_up_to_the_whole(name):
    """Of two prompts each in a micro-batch of its own: their mean, and the mean of their slopes."""
    loss, x = LOSSES.get(name, Sandwich(weight_clip=5.0)), some_inputs()
    per_prompt = ("logps", "old", "ref", "mask", "unfiltered", "weight", "advantages", "rewards")
    logps = x.logps.clone().requires_grad_()
    whole = loss(replace(x, logps=logps))[0]
    (expected,) = torch.autograd.grad(whole, logps)
    given = replace(x, logps=logps)
    parts = [
        replace(given, parts=2, **{field: getattr(given, field)[p : p + 1] for field in per_prompt})
        for p in (0, 1)
    ]
    mean = sum(loss(part)[0] for part in parts) / 2
    torch.testing.assert_close(mean, whole)
    torch.testing.assert_close(torch.autograd.grad(mean, logps)[0], expected)


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_to_learn_gives_zeros(name):
    x = some_inputs()
    nothing = torch.zeros_like(x.mask)
    logps = x.logps.clone().requires_grad_()
    value, metrics = LOSSES[name](replace(x, logps=logps, mask=nothing, unfiltered=nothing))
    (slope,) = torch.autograd.grad(value, logps)
    assert value.isfinite() and (slope == 0).all()
    assert all(math.isfinite(float(v)) for v in metrics.values())


class Exact(Policy):
    """A policy whose scores are in float64."""

    def forward(self, tokens, attention=None, positions=None, targets=None, entropy=False):
        logits = super().forward(tokens, attention, positions)
        table = logits.log_softmax(-1)
        rows = targets if targets.dim() > 1 else targets[:, None]
        found = table.gather(-1, rows)
        return TokenScores(found if targets.dim() > 1 else found[:, 0], None, logits.argmax(-1))


def exact_policy():
    """The tiny policy in float64 throughout: transformers' norms compute in float32."""
    policy = tiny_policy().double()
    policy.__class__ = Exact
    for parent in list(policy.modules()):
        for name, child in list(parent.named_children()):
            if type(child).__name__.endswith("RMSNorm"):
                norm = torch.nn.RMSNorm(child.weight.shape, eps=child.variance_epsilon, dtype=torch.float64)
                norm.weight.data.copy_(child.weight)
                setattr(parent, name, norm)
    return policy


@pytest.mark.parametrize("name", ESTIMATORS)
def test_of_an_estimator(name):
    """The slope of Σ w log p · c along a random direction of the weights, c fixed at random."""
    batch = rollout_batch(tiny_policy(), logprobs=ESTIMATORS[name])
    policy = exact_policy()
    draws = ESTIMATORS[name].draws(batch, 0)
    shape = (*batch.tokens.shape[:2], len(draws), batch.tokens.shape[2])
    rng = torch_rng(1, "direction")
    factors = torch.randn(shape, generator=rng, dtype=torch.float64, device="cpu")
    weights = [p for p in policy.parameters() if p.requires_grad]
    steps = [torch.randn(p.shape, generator=rng, dtype=torch.float64, device="cpu") for p in weights]
    table = policy.network.get_input_embeddings()  # its row of the padding token has no gradient
    for weight, step in zip(weights, steps, strict=True):
        if weight is table.weight:
            step[table.padding_idx] = 0

    def value():
        found = score(policy, batch, draws)
        assert found.logps.dtype == torch.float64
        return (found.logps * factors).sum()

    @torch.no_grad()
    def moved(by):
        for weight, step in zip(weights, steps, strict=True):
            weight.add_(step, alpha=by)
        return float(value())

    slopes = torch.autograd.grad(value(), weights)
    expected = sum(float((slope * step).sum()) for slope, step in zip(slopes, steps, strict=True))
    h = 1e-5
    above, below = moved(h), moved(-2 * h)
    assert (above - below) / (2 * h) == pytest.approx(expected, rel=1e-5) and abs(expected) > 1e-2

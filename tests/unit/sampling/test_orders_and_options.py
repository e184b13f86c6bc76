import pytest
import torch
from fakes import FixedPolicy

from igpo_lightning.checks import ConfigError
from igpo_lightning.sampling import (
    BlockwiseSampler,
    DrawnProbability,
    EntropyBound,
    LeastEntropy,
    Margin,
    MaxProbability,
    Quota,
    RandomOrder,
    Threshold,
)

EOS, MASK = 0, 1


def fixed(*columns):
    """A policy whose columns after the prompt have these probabilities of the tokens 2, 3, 4."""
    table = torch.full((1 + len(columns), 5), -torch.inf)
    table[0, 2] = 0.0
    for c, p in enumerate(columns, 1):
        table[c, 2 : 2 + len(p)] = torch.tensor(p).log()
    return FixedPolicy(lambda tokens: table.expand(len(tokens), *table.shape), eos_id=99)


def order_of(order, *columns):
    """Steps at which the columns were written, one a step."""
    canvas = torch.tensor([[3, *[MASK] * len(columns)]])
    sampler = BlockwiseSampler(len(columns), len(columns), len(columns), order=order)
    return sampler(fixed(*columns), canvas, None, [7]).step_map[0, 1:].tolist()


# likeliest token, lead over the next, entropy:  0.6, 0.35, 0.88;  0.55, 0.10, 0.69;  0.5, 0.25, 1.04
COLUMNS = (0.6, 0.25, 0.15), (0.55, 0.45), (0.5, 0.25, 0.25)


@pytest.mark.parametrize("order, steps", [
    (MaxProbability(), [0, 1, 2]), (DrawnProbability(), [0, 1, 2]), (Margin(), [0, 2, 1]),
    (LeastEntropy(), [1, 0, 2]),
])  # fmt: skip
def test_orders_by_hand(order, steps):
    assert order_of(order, *COLUMNS) == steps


def test_random_order_is_drawn_from_the_seed():
    columns = [(0.5, 0.5)] * 6
    sampler = BlockwiseSampler(6, 6, 6, order=RandomOrder())
    canvas = torch.tensor([[3, *[MASK] * 6]]).repeat(40, 1)
    steps = sampler(fixed(*columns), canvas, None, [*range(39), 0]).step_map[:, 1:]
    assert torch.equal(steps[0], steps[-1]) and len({tuple(row) for row in steps.tolist()}) > 30
    assert (steps.sort(-1).values == torch.arange(6)).all()


def test_at_a_temperature_max_probability_looks_at_the_column_and_not_at_the_draw():
    columns = (0.9, 0.1), (0.8, 0.2)
    canvas = torch.tensor([[3, MASK, MASK]]).repeat(200, 1)
    first = {}
    for order in (MaxProbability(), DrawnProbability()):
        sampler = BlockwiseSampler(2, 2, 2, 1.0, order=order)
        result = sampler(fixed(*columns), canvas, None, range(200))
        first[type(order)] = (result.step_map[:, 1] == 0).float().mean().item()
    assert first[MaxProbability] == 1.0
    assert (
        0.7 < first[DrawnProbability] < 0.95
    )  # 0.9: where the first drew its unlikely token, the second leads


def test_thresholds_refuse_an_order_that_gives_no_probabilities():
    with pytest.raises(
        ConfigError, match=r"sampler\.acceptance: Threshold reads probabilities.*LeastEntropy"
    ):
        BlockwiseSampler(4, 4, 4, acceptance=Threshold(), order=LeastEntropy())
    BlockwiseSampler(4, 4, 4, acceptance=EntropyBound(), order=LeastEntropy())


def wants_an_end(tokens):
    """The second column after the prompt wants to end, at p = 0.98; the others write 3 with less."""
    logits = torch.zeros(*tokens.shape, 5)
    logits[:, :, 3] = 2.0
    logits[:, 2, EOS] = 6.0
    return logits


@pytest.mark.parametrize("eos, tokens, step", [
    ("free", [3, EOS, 3, 3], 0), ("last", [3, EOS, 3, 3], 3), ("never", [3, 3, 3, 3], None),
])  # fmt: skip
def test_eos_may_come_early_late_or_never(eos, tokens, step):
    policy = FixedPolicy(wants_an_end)
    result = BlockwiseSampler(4, 4, 4, eos=eos)(policy, torch.tensor([[4, *[MASK] * 4]]), None, [0])
    assert result.tokens[0, 1:].tolist() == tokens
    assert step is None or result.step_map[0, 2] == step


@pytest.mark.parametrize("options, message", [
    ({"eos": "late"}, "sampler.eos=late: expected one of free, last, never"),
    ({"cache": "all"}, "sampler.cache=all: expected one of none, prefix, dual"),
    ({"refresh_every": 0, "cache": "dual"}, "sampler.refresh_every=0"),
    ({"graphs": "perhaps"}, "sampler.graphs=perhaps"),
    ({"guidance": -1.0}, "sampler.guidance=-1.0: must be 0 or more"),
    ({"guidance": 1.0, "cache": "dual"}, "sampler.guidance=1.0: needs sampler.cache=none, not dual"),
])  # fmt: skip
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        BlockwiseSampler(4, 4, 4, **options)


def test_what_a_model_is_judged_by_is_exact():
    fast = BlockwiseSampler(8, 4, 4, 1.0, EntropyBound(0.5), LeastEntropy(), "last", "dual", 3)
    judge = fast.greedy()
    assert fast.approximate and not judge.approximate
    assert (judge.temperature, judge.eos, judge.sessions.cache) == (0.0, "last", "none")
    assert isinstance(judge.acceptance, Quota) and isinstance(judge.order, LeastEntropy)
    assert fast.exact().temperature == 1.0 and fast.temperature == 1.0
    own = Quota()
    assert BlockwiseSampler(8, 4, 4, 1.0, own).greedy().acceptance is own
    assert not BlockwiseSampler(8, 4, 4, cache="dual", refresh_every=1).approximate


def test_guidance_by_hand():
    """Logits of token 2: 1 with the prompt, 3 without: u + (1 + 2)(c - u) = -3; of token 3 always 0.5."""

    def logits(tokens):
        out = torch.zeros(*tokens.shape, 4)
        out[..., 3] = 0.5
        out[..., 2] = torch.where(tokens[:, :1] == MASK, 3.0, 1.0)
        return out

    policy = FixedPolicy(logits, eos_id=99)
    canvas = torch.tensor([[3, MASK]])
    assert BlockwiseSampler(1, 1, 1)(policy, canvas, None, [0]).tokens[0, 1] == 2
    policy.calls.clear()
    assert BlockwiseSampler(1, 1, 1, guidance=2.0)(policy, canvas, None, [0]).tokens[0, 1] == 3
    assert policy.calls[0].tolist() == [[3, MASK], [MASK, MASK]]


def test_guidance_masks_hints_too_and_keeps_rows_apart():
    policy = FixedPolicy(lambda tokens: torch.zeros(*tokens.shape, 4), eos_id=99)
    canvas = torch.tensor([[3, MASK, 2, MASK], [3, 3, MASK, MASK]])
    BlockwiseSampler(3, 3, 1, guidance=1.0)(policy, canvas, None, [0, 1])
    assert policy.calls[0].tolist() == [*canvas.tolist(), [MASK] * 4, [MASK] * 4]

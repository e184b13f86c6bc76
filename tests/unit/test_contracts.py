"""Parts of one's own that break their contract: one line names the key, the part and what was due."""

import pytest
import torch
from fakes import BLOCK, WIDTH, algorithm, encoded, engine, rollout_fit, tiny_policy, trainer

from igpo_lightning.algos.logprobs import LeftToRight, RandomMasking
from igpo_lightning.algos.losses import ClippedSurrogate, GroupSoftmax, Preference, Sandwich
from igpo_lightning.errors import ConfigError
from igpo_lightning.rollout import GreedyBaseline, Keep, ZeroVariance
from igpo_lightning.rollout.interventions import Report
from igpo_lightning.sampling import BlockwiseSampler, DrawnProbability, Quota, Threshold
from igpo_lightning.types import Scores


class Mine:
    """A part that returns ``value``, or what it makes of its arguments."""

    needs_reference = needs_entropy = needs_uniform = log_probability = False

    def __init__(self, value, steps=WIDTH):
        self.value, self.steps = value, steps

    def most_steps(self, steps, width):
        return self.steps

    def __call__(self, *arguments):
        return self.value(*arguments) if callable(self.value) else self.value


def run(**parts):
    return engine(**parts).run(tiny_policy(), encoded(tiny_policy(), 2), 0)


SCORES = Scores(torch.ones(8), torch.ones(8, dtype=torch.bool))


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("advantage", None, r"None; expected a tensor \[2, 4\] or \[2, 4, 16\] of real numbers"),
        ("advantage", torch.ones(2, 1), r"a tensor \[2, 1\] of float32"),
        ("advantage", torch.ones(2, 4, dtype=torch.complex64), r"a tensor \[2, 4\] of complex64"),
        ("credit", torch.ones(4), r"a tensor \[4\] of float32"),
        ("token_filter", None, "None"),
        ("token_filter", lambda learnt, *_: learnt.float(), r"a tensor \[2, 4, 16\] of float32; .* of bool"),
        ("token_filter", lambda learnt, *_: learnt[:1], r"a tensor \[1, 4, 16\] of bool"),
        ("inpaint", None, "None; expected a Rollout and a report with replaced"),
        ("inpaint", lambda rollout, _: rollout, "a Rollout"),
        ("inpaint", lambda rollout, _: (rollout, {}), r"\(a Rollout, a dict\)"),
        ("inpaint", lambda rollout, _: (None, Report()), r"\(None, a Report\)"),
        ("select", lambda rollout, _: (rollout, Report()), "expected a Rollout and a report with swapped"),
    ],
)
def test_what_a_part_of_a_rollout_returns(part, value, said):
    with pytest.raises(ConfigError, match=rf"^algo\.{part}: Mine returned .*{said}"):
        run(**{part: Mine(value)})


def test_whole_numbers_and_booleans_count_as_what_is_meant(tmp_path):
    rollout = run(
        advantage=Mine(lambda rewards: (rewards > 0.5).int()),
        token_filter=Mine(lambda learnt, *_: learnt.int()),
    )
    assert rollout.advantages.dtype == torch.float32 and rollout.loss_mask.dtype == torch.bool
    module, data = rollout_fit(tiny_policy(), rollouts=1, loss=Mine(lambda x: (x.logps.sum(), {"mine": 0.5})))
    trainer(tmp_path).fit(module, datamodule=data)
    order = Mine(lambda step, drawn, uniform: drawn)
    assert not (sample(order=order).tokens == tiny_policy().mask_id).any()


def test_a_reward_that_gives_no_scores():
    with pytest.raises(
        ConfigError, match=r"^reward: Mine returned a tensor \[8\] of float32; expected Scores"
    ):
        run(reward=Mine(torch.ones(8)))
    assert run(reward=Mine(SCORES)).correct.all()


METRIC = {"mine": torch.ones(())}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda x: None, "None; expected a scalar and a dict of metrics"),
        (lambda x: x.logps.sum(), r"a tensor \[\] of float32; expected a scalar and a dict"),
        (lambda x: (x.logps.sum((2, 3)), METRIC), r"a tensor \[4, 4\] of float32; expected a tensor \[\]"),
        (lambda x: (1.0, METRIC), r"a float; expected a tensor \[\]"),
        (lambda x: (x.logps.sum(), None), "None; expected a dict of metrics"),
        (
            lambda x: (x.logps.sum(), {"mine": torch.ones(2)}),
            r"a tensor \[2\] of float32; expected for 'mine'",
        ),
        (
            lambda x: (x.logps.sum(), {3: torch.ones(())}),
            r"a tensor \[\] of float32; expected for 3, if that is",
        ),
        (lambda x: (x.logps.sum(), {"mine": "high"}), "a str; expected for 'mine', if that is its name, a"),
    ],
)
def test_what_a_loss_returns(tmp_path, value, said):
    module, data = rollout_fit(tiny_policy(), rollouts=1, loss=Mine(value))
    with pytest.raises(ConfigError, match=rf"^algo\.loss: Mine returned .*{said}"):
        trainer(tmp_path).fit(module, datamodule=data)


def sample(canvas=None, **parts):
    policy = tiny_policy()
    canvas = torch.full((2, WIDTH), policy.mask_id) if canvas is None else canvas
    return BlockwiseSampler(WIDTH, BLOCK, WIDTH, **parts)(policy, canvas, None, [1, 2])


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("acceptance", None, "None"),
        ("acceptance", lambda *given: given[2].float(), r"a tensor \[2, \d+\] of float32"),
        ("acceptance", lambda *given: given[2][:1], r"a tensor \[1, \d+\] of bool"),
        ("order", lambda *given: given[1].to(torch.complex64), r"a tensor \[\d+\] of complex64"),
        ("order", lambda *given: given[1].double()[:-1], r"a tensor \[\d+\] of float64"),
    ],
)
def test_what_a_rule_of_the_sampler_returns(part, value, said):
    with pytest.raises(ConfigError, match=rf"^sampler\.{part}: Mine returned {said}"):
        sample(**{part: Mine(value)})


@pytest.mark.parametrize("steps", [1, 3])
def test_a_rule_that_leaves_columns_empty_is_refused(steps):
    nothing = Mine(lambda *given: given[2] & False, steps)
    with pytest.raises(
        ConfigError, match=rf"^sampler\.acceptance: Mine left {2 * BLOCK} .* the {steps} steps"
    ):
        sample(acceptance=nothing)
    slow = Mine(lambda confidence, _, masked, left: Quota()(confidence, None, masked, BLOCK), steps)
    with pytest.raises(ConfigError, match=rf"left {2 * (BLOCK - steps)} columns"):
        sample(acceptance=slow)


def test_a_rule_cannot_write_over_what_is_given():
    policy = tiny_policy()
    canvas = torch.full((2, WIDTH), policy.mask_id)
    canvas[:, 3] = 7
    found = sample(canvas, acceptance=Mine(lambda *given: torch.ones_like(given[2])))
    assert (found.tokens[:, 3] == 7).all() and not (found.tokens == policy.mask_id).any()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"loss": len}, "algo.loss: len has no needs_reference"),
        ({"advantage": 3}, "algo.advantage: int can't be called"),
        ({"select": "all"}, "algo.select: str can't be called"),
    ],
)
def test_a_part_of_an_algorithm_that_lacks_something(parts, said):
    with pytest.raises(ConfigError) as caught:
        algorithm(**parts)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("part", "value"), [("acceptance", DrawnProbability()), ("order", Threshold(0.9))])
def test_a_part_of_the_sampler_that_lacks_something(part, value):
    with pytest.raises(
        ConfigError, match=rf"^sampler\.{part}: {type(value).__name__} has no \w+; such a part"
    ):
        BlockwiseSampler(WIDTH, BLOCK, WIDTH, **{part: value})


@pytest.mark.parametrize("loss", [GroupSoftmax(), Preference(), Sandwich()])
@pytest.mark.parametrize("credit", [ZeroVariance(), GreedyBaseline()])
def test_a_loss_of_completions_takes_no_advantages_of_tokens(loss, credit):
    with pytest.raises(ConfigError, match=r"^algo\.credit: \w+ gives each token .* algo\.loss=\w+ takes one"):
        algorithm(loss=loss, credit=credit, logprobs=LeftToRight(4))
    algorithm(loss=ClippedSurrogate(), credit=credit, logprobs=LeftToRight(4))
    algorithm(loss=loss, credit=None)


def test_what_goes_wrong_in_every_rollout_is_refused_before_the_first():
    with pytest.raises(ConfigError, match=r"^algo\.credit: GreedyBaseline needs the same draws"):
        algorithm(logprobs=RandomMasking(), credit=GreedyBaseline())
    assert algorithm(inpaint=Keep()).credit is None

"""The departures of the published code, each against the plain behaviour, by hand."""

import math
from contextlib import nullcontext

import pytest
import torch
from fakes import TINY_RL, WIDTH, FixedPolicy, algorithm, compose, encoded, engine, loss_inputs, tiny_policy
from omegaconf import OmegaConf

from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.checks import ConfigError
from igpo_lightning.config import build_algorithm
from igpo_lightning.rewards import Correctness, RewardSum, Verifier
from igpo_lightning.rollout import AllWrong, Chunks, resample
from igpo_lightning.rollout.hints import stretched
from igpo_lightning.training.run import build
from igpo_lightning.types import Problem, Prompt

MASK = 1
ON = {"hint_content": "answer"}  # all others are true
SWITCHES = {  # key → whether a stage that was built with it has it
    "hint_content": lambda algorithm: algorithm.inpaint.hints.field == "response",
    "tokens_after_eos": lambda algorithm: algorithm.tokens_after_eos,
    "first_box": lambda algorithm: (
        algorithm.training_reward.terms["accuracy"].read("\\boxed{1} \\boxed{2}") == "1"
    ),
    "filtered_in_ratio": lambda algorithm: algorithm.loss.filtered_in_ratio,
    "micro_batch_trigger": lambda algorithm: algorithm.inpaint.when.micro_batch,
    "stretched_hints": lambda algorithm: algorithm.inpaint.hints.stretch,
}


def test_every_switch_is_off_and_known_here(tmp_path):
    compat = OmegaConf.to_container(compose(tmp_path, "algo=igpo").algo.compat)
    assert compat == {**dict.fromkeys(SWITCHES, False), "hint_content": "trace"}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("on", [False, True])
def test_a_switch_reaches_its_place_and_no_other(name, on, tmp_path):
    switched = [f"algo.compat.{name}={ON.get(name, 'true')}"] if on else []
    wide = ["sampler.length=40", "sampler.block_length=20", "sampler.steps=20"]  # stretched hints want room
    cfg = compose(tmp_path, "algo=igpo", *TINY_RL, *wide, *switched)
    module, data, _ = build(cfg)
    assert module.algorithm is data.algorithm
    found = {key: has(module.algorithm) for key, has in SWITCHES.items()}
    assert found == {**dict.fromkeys(SWITCHES, False), name: on}


def test_answer_tokens_in_hints():
    """Of a hint 10 _ 12 and its response 10 11 12 13 14, all of it is written: 2 tokens, or 5."""

    class Window:
        prompts = (
            Prompt(Problem("t/1", "", "", ""), (), (10, 11, 12, 13, 14), lambda problem: (10, MASK, 12)),
        )
        group_size, width, mask_id = 1, 6, MASK

        def seed(self, purpose, p, g):
            return g

        def blank(self, count, completions):
            shape = (count, completions, 6)
            return torch.full(shape, MASK), torch.zeros(shape, dtype=torch.bool)

    for content, expected in (("trace", [10, MASK, 12]), ("answer", [10, 11, 12, 13, 14])):
        canvas, is_hint = Chunks(1.0, (1, 1), content)([0], 1, Window(), "inpaint")
        assert canvas[0, 0].tolist() == expected + [MASK] * (6 - len(expected))
        assert is_hint[0, 0].tolist() == [token != MASK for token in canvas[0, 0].tolist()]


def test_filtered_tokens_within_the_ratio():
    """Differences ln 2 (kept) and ln 8 (filtered out): the ratio is 2, or exp((ln 2 + ln 8) / 2) = 4.

    With advantage -1 the loss is the ratio, and its gradient by a log-prob is the ratio over the number
    of tokens in its mean. The third token is after the completion's end.
    """
    for on, ratio, gradient in ((False, 2.0, [2.0, 0.0, 0.0]), (True, 4.0, [2.0, 2.0, 0.0])):
        old = torch.zeros(1, 1, 3)
        logps = torch.tensor([[[math.log(2), math.log(8), float("nan")]]], requires_grad=True)
        mask, unfiltered = torch.tensor([[[True, False, False]]]), torch.tensor([[[True, True, False]]])
        inputs = loss_inputs(logps, old, None, torch.tensor([[-1.0]]), mask, unfiltered=unfiltered)
        loss, metrics = ClippedSurrogate("sequence", beta=0.0, filtered_in_ratio=on)(inputs)
        loss.backward()
        assert (loss.item(), metrics["ratio_max"].item()) == pytest.approx((ratio, ratio))
        assert logps.grad[0, 0].nan_to_num(7.0).tolist() == pytest.approx(gradient)


def test_tokens_after_the_end_in_the_loss():
    """The policy writes two words, its end and rubbish: 3 tokens are the completion, 16 the canvas."""
    teacher = tiny_policy()

    def logits(tokens):
        wanted = torch.full_like(tokens, 5)
        wanted[:, 2 - WIDTH] = teacher.eos_id
        return 50.0 * torch.nn.functional.one_hot(wanted, len(teacher.tokenizer)).float()

    policy = FixedPolicy(logits, teacher.mask_id, teacher.eos_id, teacher.tokenizer)
    policy.keeps_reference = False
    for on, tokens in ((False, 3), (True, WIDTH)):
        batch = engine(tokens_after_eos=on).run(policy, encoded(teacher, 2), 0)
        assert batch.loss_mask.sum(-1).unique().tolist() == [tokens]
        assert batch.metrics["length"] == 3


@pytest.mark.parametrize(("size", "whole", "single"), [
    (1, [0, 2, 3], [0, 2, 3]),
    (2, [2, 3], [0, 2, 3]),
    (3, [3], [0, 2, 3]),  # the last micro-batch has one prompt
    (4, [], [0, 2, 3]),
])  # fmt: skip
def test_one_correct_completion_keeps_a_micro_batch_from_a_second_try(size, whole, single):
    class Window:
        micro_batch = size

    class Found:
        all_wrong = torch.tensor([True, False, True, True])

    found = Found()
    assert AllWrong(micro_batch=True)(found, Window()) == whole
    assert AllWrong()(found, Window()) == single


def test_an_engine_tells_its_intervention_the_micro_batch_of_training():
    seen = []

    class Look:
        def __call__(self, found, again):
            seen.append(again.micro_batch)
            return AllWrong(micro_batch=True)(found, again)

    policy = tiny_policy()
    engine(inpaint=resample(when=Look()), prompts_per_micro_batch=3).run(policy, encoded(policy, 3), 0)
    assert seen == [3]


@pytest.mark.parametrize(("chunks", "length", "room", "columns"), [
    ([(4, 8), (12, 16)], 16, 24, [6, 16]),            # factor 1.5: 4 → 6, then a gap of 4 → 6 after column 10
    ([(4, 8), (12, 16)], 16, 20, [5, 14]),            # factor 1.25: 4 → 5, gap 4 → 5 after column 9
    ([(4, 8), (12, 16)], 16, 200, [6, 16]),           # the factor is at most 1.5
    ([(4, 8), (12, 16)], 16, 12, [4]),                # and at least 1; what no longer fits is left out
    ([(0, 5), (5, 9)], 16, 24, [0, 5]),               # neighbours stay neighbours
    ([(0, 5), (105, 110)], 120, 180, [0, 105]),       # a gap of 150 would exceed 100
    ([], 16, 24, []),
])  # fmt: skip
def test_stretched_places(chunks, length, room, columns):
    assert stretched(chunks, length, room) == columns


def test_stretched_hints_are_the_same_tokens_elsewhere():
    """Of 12 tokens in chunks of 3, in a canvas whose first 60 - 30 columns may be used: factor 1.5."""
    trace = tuple(range(100, 112))
    for seed in range(20):
        plain, _ = Chunks(chunk=(3, 3)).place(trace, 60, 0.5, seed, MASK)
        spread, is_hint = Chunks(chunk=(3, 3), stretch=True).place(trace, 60, 0.5, seed, MASK)
        assert plain[plain != MASK].tolist() == spread[is_hint].tolist()
        first, second = (c for c in range(12) if plain[c] != MASK and c % 3 == 0)
        start = int(first * 1.5)
        expected = [start, start + 3 + int((second - first - 3) * 1.5)]
        assert [spread.tolist().index(100 + chunk) for chunk in (first, second)] == expected


def test_a_canvas_that_holds_no_stretched_hint_is_refused(tmp_path):
    """Else IGPO would be sampling again without hints, and nobody would say so."""
    for width, fits in ((30, False), (31, True)):
        sizes = [f"sampler.length={width}", f"sampler.block_length={width}", f"sampler.steps={width}"]
        cfg = compose(tmp_path, "algo=igpo", *TINY_RL, *sizes, "algo.compat.stretched_hints=true")
        with nullcontext() if fits else pytest.raises(ConfigError, match=r"length=30: .*a canvas below 31"):
            build_algorithm(cfg)


def test_a_short_canvas_has_no_room_for_stretched_hints():
    _, is_hint = Chunks(chunk=(3, 3), stretch=True).place(tuple(range(100, 112)), 30, 1.0, 0, MASK)
    assert not is_hint.any()


def test_the_first_box_is_what_training_reads():
    reward = RewardSum({"accuracy": Correctness(Verifier())}, "accuracy")
    text = ["\\boxed{3} is too small, so \\boxed{4}"]
    problem = [Problem("t/1", "", "", "4")]
    assert algorithm(reward=reward).training_reward(problem, text).correct.tolist() == [True]
    assert algorithm(reward=reward, first_box=True).training_reward(problem, text).correct.tolist() == [False]
    assert reward(problem, text).correct.tolist() == [True]  # held-out completions are judged as ever

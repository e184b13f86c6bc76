"""Interventions on hand-made groups: P = 3 prompts with G = 4 completions of C = 6 tokens."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from igpo_lightning.checks import ConfigError
from igpo_lightning.rollout import (
    AllWrong,
    ForcedAnswer,
    Keep,
    NoHints,
    ReplaceWrong,
    Retry,
    force_answer,
    resample,
)
from igpo_lightning.rollout import inpaint as inpainting
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem, Prompt, Rollout

MASK, G, C = 1, 4, 6
TRACE = (10, 11, 12, 13, 14)
HINT = (10, 11, 12, MASK)


def groups(correct, base=100, extra=0.0, size=G):
    """Completion g of prompt p is base + 10 p + g in every column, and was written at step p + g."""
    correct = torch.tensor(correct, dtype=torch.bool).view(-1, size)
    p = len(correct)
    of = torch.arange(p)[:, None] + torch.arange(size)
    tokens = (base + 10 * torch.arange(p)[:, None] + torch.arange(size))[..., None].expand(p, size, C)
    return Rollout(
        prompt_ids=torch.zeros(p, 2, dtype=torch.long),
        prompt_mask=torch.ones(p, 2, dtype=torch.bool),
        seeds=torch.arange(p),
        tokens=tokens.clone(),
        hint_mask=torch.zeros(p, size, C, dtype=torch.bool),
        completion_mask=torch.ones(p, size, C, dtype=torch.bool),
        step_map=(base + of)[..., None].expand(p, size, C).clone(),
        rewards=correct.float() + extra,
        correct=correct,
        parts={"accuracy": correct.float()},
    )


class Again:
    """What sampling again gives, and what it was asked for."""

    def __init__(self, correct):
        self.correct, self.calls = correct, []

    def __call__(self, which, canvas, hint_mask, purpose):
        self.calls.append((which, canvas, hint_mask, purpose))
        fresh = groups([self.correct] * len(which), base=500, size=canvas.shape[1])
        fresh.hint_mask = hint_mask.clone()
        return fresh


class FakeWindow:
    """A Resampler whose second tries are given."""

    group_size, width, mask_id = G, C, MASK

    def __init__(self, sample, prompts, anyone):
        self.prompts = [
            Prompt(Problem(f"t/{i}", "", "", ""), (), TRACE, lambda problem: HINT) for i in range(prompts)
        ]
        self.sample, self.anyone = sample, anyone

    def seed(self, purpose, p, g):
        return derive(0, purpose, p, g)

    def blank(self, count, completions=None):
        canvas = torch.full((count, completions or G, C), MASK)
        return canvas, torch.zeros_like(canvas, dtype=torch.bool)


def resampler(again, prompts=3, anyone=bool):
    return FakeWindow(again, prompts, anyone)


WRONG, MIXED, RIGHT = [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1]


def inpaint(replace=0.5, ratio=1.0, **changes):
    return inpainting(ratio=ratio, replace=replace, chunk=(1, 1), **changes)


@pytest.mark.parametrize("rule", [inpaint(), resample(0.5)])
def test_only_the_group_that_is_all_wrong_is_sampled_again(rule):
    again = Again([0, 1, 0, 0])
    before = groups([MIXED, WRONG, RIGHT])
    after, report = rule(before, resampler(again))
    assert [call[0] for call in again.calls] == [[1]]
    assert again.calls[0][1].shape == (1, G, C)
    assert after.step_map[1, :, 0].tolist() == [501, 102, 103, 104]  # all that a completion has goes along
    assert torch.equal(after.tokens[[0, 2]], before.tokens[[0, 2]])
    assert after.tokens[1, :, 0].tolist() == [501, 111, 112, 113]
    assert not torch.equal(after.tokens[1], before.tokens[1]) and before.tokens[1, 0, 0] == 110
    assert (report.triggered, report.sampled, report.correct, report.replaced) == ((1,), 4, 1, 1)


def test_a_format_reward_cannot_hide_that_all_are_wrong():
    again = Again(RIGHT)
    before = groups([WRONG, MIXED], extra=0.1)
    before.rewards[0] = torch.tensor([0.1, 0.1, 0.0, 0.1])
    _, report = inpaint()(before, resampler(again, 2))
    assert [call[0] for call in again.calls] == [[0]] and report.triggered == (0,)
    # nor can a missing one fake it
    before = groups([MIXED])
    before.rewards[:] = 0
    assert inpaint()(before, resampler(Again(RIGHT), 1))[1].triggered == ()


@pytest.mark.parametrize("replace, correct, k", [
    (0.5, [1, 1, 1, 1], 2),   # min(4, floor(2.0))
    (0.5, [0, 0, 0, 1], 1),   # min(1, 2)
    (0.5, [0, 0, 0, 0], 0),
    (0.74, [1, 1, 1, 0], 2),  # floor(2.96)
    (0.75, [1, 1, 1, 1], 3),
    (0.25, [0, 1, 1, 0], 1),
    (1.0, [1, 1, 1, 1], 4),
])  # fmt: skip
def test_as_many_are_replaced_as_are_correct_and_allowed(replace, correct, k):
    before = groups([WRONG])
    after, report = inpaint(replace)(before, resampler(Again(correct), 1))
    assert report.replaced == k
    new = [500 + g for g, ok in enumerate(correct) if ok][:k]
    assert sorted(after.tokens[0, :, 0].tolist()) == sorted([100, 101, 102, 103][k:] + new)
    assert after.correct[0].sum() == k and after.rewards[0].tolist() == [1.0] * k + [0.0] * (G - k)
    assert after.parts["accuracy"].sum() == k
    assert torch.equal(after.tokens[0, k:], before.tokens[0, k:])
    expected_hints = [3 if g < k else 0 for g in range(G)]  # HINT has three tokens that are no answer
    assert after.hint_mask[0].sum(-1).tolist() == expected_hints


def test_replacements_go_to_wrong_places_in_order():
    correct = torch.tensor([False, True, False, False])
    fresh = torch.tensor([False, True, False, True])
    assert ReplaceWrong(1.0)(correct, fresh) == [(0, 1), (2, 3)]
    assert ReplaceWrong(0.25)(correct, fresh) == [(0, 1)]
    assert ReplaceWrong(0.0)(correct, fresh) == []


END = 2


def forced(**options):
    """Canvas and hint mask of one all-wrong group, whose gold response ends in a statement of one token."""
    window = resampler(again := Again(RIGHT), 1)
    window.prompts = [Prompt(Problem("t", "", "", ""), (), (10, 11, 12), lambda problem: (10, MASK))]
    window.policy = SimpleNamespace(end_id=END)
    after, report = force_answer(**options)(groups([WRONG]), window)
    return again.calls[0], after, report


@pytest.mark.parametrize("place, written", [
    ("trace", [MASK, MASK, 12, END, MASK, MASK]), ("end", [MASK, MASK, MASK, MASK, 12, END]),
])  # fmt: skip
def test_a_forced_answer_leaves_the_way_to_it_open(place, written):
    (_, canvas, hint_mask, purpose), after, report = forced(place=place)
    assert canvas[0].tolist() == [written] * G and torch.equal(hint_mask, canvas != MASK)
    assert purpose == "inpaint" and (report.hinted, report.replaced) == (G, 2)
    assert forced(place=place, replace=0.25)[2].replaced == 1
    assert after.hint_mask[0].any(-1).tolist() == [True, True, False, False]


def test_there_is_no_answer_to_force_without_a_trace_or_in_one_that_was_cut():
    window = resampler(Again(RIGHT), 1)
    for response, helps in (((), False), ((10,) * C, False), ((10,) * (C - 1), True)):
        window.prompts = [Prompt(Problem("t", "", "", ""), (), response, lambda problem: ())]
        assert ForcedAnswer().can_help(0, window) is helps
    with pytest.raises(ConfigError, match="place=middle: expected one of trace, end"):
        ForcedAnswer("middle")


def test_hints_are_written_for_every_completion_with_its_own_draw():
    again = Again(RIGHT)
    inpaint(ratio=(0.0, 1.0))(groups([WRONG] * 3), resampler(again))
    which, canvas, hint_mask, purpose = again.calls[0]
    assert which == [0, 1, 2] and purpose == "inpaint"
    assert (canvas[hint_mask] != MASK).all() and (canvas[~hint_mask] == MASK).all()
    for row in canvas.view(-1, C).tolist():
        assert all(token in (MASK, hint) for token, hint in zip(row, (*HINT, MASK, MASK), strict=True))
    assert len(set(hint_mask.view(-1, C).sum(-1).tolist())) > 1  # ratios are drawn per completion


@pytest.mark.parametrize("hint", [(), (MASK, MASK)])
def test_without_anything_to_write_a_group_stays_as_it_is(hint):
    """A problem of question and answer alone, or a trace that says its answer only."""
    again, before = Again(RIGHT), groups([WRONG] * 3)
    window = resampler(again)
    window.prompts[1] = replace(window.prompts[1], hint_of=lambda problem: hint)
    after, report = inpaint()(before, window)
    assert again.calls[0][0] == [0, 2] and report.triggered == (0, 2)
    assert torch.equal(after.tokens[1], before.tokens[1])
    resample(0.5)(before, window)
    assert again.calls[1][0] == [0, 1, 2], "sampling again takes no trace"


@pytest.mark.parametrize("content, tokens", [("trace", {10, 11, 12}), ("answer", {10, 11, 12, 13, 14})])
def test_hints_are_cut_from_what_content_names(content, tokens):
    again = Again(RIGHT)
    inpaint(content=content)(groups([WRONG]), resampler(again, 1))
    _, canvas, hint_mask, _ = again.calls[0]
    assert set(canvas[hint_mask].tolist()) == tokens and int(hint_mask[0, 0].sum()) == len(tokens)


def test_sampling_again_without_hints_has_an_empty_canvas():
    again = Again(RIGHT)
    resample(0.5)(groups([WRONG]), resampler(again, 1))
    _, canvas, hint_mask, purpose = again.calls[0]
    assert (canvas == MASK).all() and not hint_mask.any() and purpose == "resample"


class Tries(Again):
    """Second tries that come out as given, one after the other."""

    def __call__(self, which, canvas, hint_mask, purpose):
        self.correct = self.later[len(self.calls)]
        return super().__call__(which, canvas, hint_mask, purpose)


def test_oversampling_goes_on_until_something_is_right():
    again = Tries(WRONG)
    again.later = [WRONG, [0, 0, 1, 0], RIGHT]
    after, report = resample(tries=3)(groups([WRONG, MIXED]), resampler(again, 2))
    assert [(call[0], call[3]) for call in again.calls] == [([0], "resample"), ([0], "resample-1")]
    assert (report.sampled, report.correct, report.replaced) == (8, 1, 1)
    assert after.tokens[0, :, 0].tolist() == [502, 101, 102, 103]
    again = Tries(WRONG)
    again.later = [WRONG] * 3
    _, report = resample(tries=3)(groups([WRONG]), resampler(again, 1))
    assert len(again.calls) == 3 and report.sampled == 12 and report.replaced == 0


@pytest.mark.parametrize("count", [1, 7])
def test_any_number_of_new_completions_may_be_sampled(count):
    again = Again([0] * (count - 1) + [1])
    rule = Retry(AllWrong(), NoHints(), ReplaceWrong(0.5), completions=count)
    after, report = rule(groups([WRONG]), resampler(again, 1))
    assert again.calls[0][1].shape == (1, count, C) and report.sampled == count
    assert after.tokens[0, :, 0].tolist() == [500 + count - 1, 101, 102, 103]


@pytest.mark.parametrize("rule", [Keep(), inpaint(replace=0), inpaint(replace=0.24)])
def test_nothing_is_sampled_where_nothing_can_be_replaced(rule):
    """0.24 of 4 is less than one completion."""
    again, before = Again(RIGHT), groups([WRONG])
    after, report = rule(before, resampler(again, 1))
    assert not again.calls and torch.equal(after.tokens, before.tokens)
    assert (report.triggered, report.replaced) == ((), 0)


def test_a_process_without_wrong_groups_joins_the_others_calls():
    again, before = Again(RIGHT), groups([MIXED])
    after, report = inpaint()(before, resampler(again, 1, anyone=lambda mine: True))
    assert [call[0] for call in again.calls] == [[]] and again.calls[0][1].shape == (0, G, C)
    assert torch.equal(after.tokens, before.tokens) and report.triggered == ()


def test_bad_values_are_refused():
    with pytest.raises(ConfigError, match=r"algo.inpaint.replace=1.5"):
        resample(1.5)
    with pytest.raises(ConfigError, match=r"algo.inpaint.content=all: expected one of trace, answer"):
        inpaint(content="all")
    with pytest.raises(ConfigError, match=r"algo.inpaint.ratio=\[0.6,0.2\]"):
        inpaint(ratio=(0.6, 0.2))

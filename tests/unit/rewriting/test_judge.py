import pytest
from scripted import LENGTH

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.rewriting import Judge
from igpo_lightning.rewriting import judge as reasons
from igpo_lightning.types import Problem

PROBLEM = Problem("toy/1", "What is a half?", "…", "\\frac{1}{2}")


def test_a_good_rewrite_is_kept_and_measured(judge):
    text = "1/2 so \\boxed{\\frac{1}{2}}."
    finding = judge(PROBLEM, text)
    assert (finding.reason, finding.tokens) == (None, len(text))


@pytest.mark.parametrize(("text", "reason"), [
    ("", reasons.EMPTY),
    ("Half. \\boxed{\\frac{1}{3}}", reasons.WRONG),
    ("It is one half.", reasons.NO_ANSWER),
    ("So \\boxed{\\frac12} as I said.", reasons.NOT_LAST),
    ("<think>\\boxed{\\frac{1}{2}}", reasons.MARKUP),
    ("</Think >\\boxed{\\frac{1}{2}}", reasons.MARKUP),
    ("```\\boxed{\\frac{1}{2}}", reasons.MARKUP),
    ("\\boxed{\\frac{1}{2}}<|im_end|>", reasons.MARKUP),
    ("\\boxed{\\frac{1}{2}}\n[/INST]", reasons.NOT_LAST),
    ("x" * 10_000, reasons.TOO_LONG),
])  # fmt: skip
def test_what_is_not_kept_and_why(judge, text, reason):
    assert judge(PROBLEM, text).reason == reason


def test_an_answer_in_another_spelling_is_kept(judge):
    assert judge(Problem("toy/2", "Add one to x.", "…", "x+1"), "So \\boxed{1+x}").reason is None


def test_the_end_token_needs_a_place_too(judge):
    answer = "\\boxed{\\frac{1}{2}}"
    fits = "x" * (LENGTH - 1 - len(answer)) + answer
    assert judge(PROBLEM, fits).reason is None
    over = judge(PROBLEM, "x" + fits)
    assert (over.reason, over.tokens) == (reasons.TOO_LONG, LENGTH)
    assert over.told == "it has 41 tokens, but at most 40 fit: 1 too many."


def test_a_rewrite_that_was_cut_off_is_not_kept_even_if_it_ends_well(judge):
    assert judge(PROBLEM, "\\boxed{\\frac{1}{2}}", "length").reason == reasons.CUT_OFF


def test_special_tokens_of_the_tokenizer_are_markup(judge):
    finding = judge(PROBLEM, "<|mask|>\\boxed{\\frac{1}{2}}")
    assert (finding.reason, finding.told) == (
        reasons.MARKUP, "it contains '<|mask|>'; write plain text and LaTeX only."
    )  # fmt: skip


def test_comparisons_are_not_markup(judge):
    assert judge(Problem("a", "q", "t", "3"), "a < b > c, x <answers> \\boxed{3}").reason is None


@pytest.mark.parametrize("text", ["\\boxed{" * 500, "\ud800 \\boxed{1}", "{}" * 2000, "\x00", "####"])
def test_odd_text_is_judged_all_the_same(judge, text):
    assert judge(PROBLEM, text).reason is not None


def test_a_canvas_without_room_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="length=1: "):
        Judge(tokenizer, 1)


def test_the_layout_that_the_prompt_asks_for_has_to_fit_as_well(tokenizer):
    """``> … \\boxed{1}``: 12 tokens of layout, so 28 of 40 are left for a rewrite, its statement put away."""
    form = PromptFormat("x", response="> {reasoning} \\boxed{{answer}}")
    judge, problem = Judge(tokenizer, LENGTH, form), Problem("toy/3", "?", "so\n#### 1", "1")
    assert judge.tokens(problem) == len("> so \\boxed{1}")
    assert judge.room(problem) == LENGTH - 1 - len("> . \\boxed{1}")
    text = "x" * 27 + ".\n\\boxed{1}"
    assert (judge(problem, text).reason, judge(problem, text).tokens) == (None, 40)
    assert judge(problem, "x" + text).reason == reasons.TOO_LONG
    assert Judge(tokenizer, LENGTH)(problem, text).tokens == len(text)
    with pytest.raises(ConfigError, match=r"length=13: the layout of prompt=x takes 13 tokens"):
        Judge(tokenizer, 13, form)

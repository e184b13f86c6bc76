"""Prompt, response, hints and the reward for the format are one layout."""

import pytest
from fakes import compose
from hydra.utils import instantiate

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.data.responses import lay_out
from igpo_lightning.data.tokenizers import train_bpe
from igpo_lightning.data.traces import AnswerNotFound, answer_spans
from igpo_lightning.types import Problem

TAGS = "<reasoning>\n{reasoning}\n</reasoning>\n<answer>\n\\boxed{{answer}}\n</answer>"
MASK = 999

TRACES = [  # (trace, answer, what is left of it as reasoning, in the style of which data)
    ("He has 6 * 7 = <<6*7=42>>42 apples.\n#### 42", "42", "He has 6 * 7 = <<6*7=42>>42 apples."),
    ("They are 3.\nThe answer is: 3", "3", "They are 3."),
    ("1 + 2 = 3 #### 3", "3", "1 + 2 = 3"),
    (r"Then $x=\boxed{\frac{1}{2}}$.", r"\frac{1}{2}", r"Then $x=\frac{1}{2}$."),
    (r"So \[a = \boxed{46}.\] The answer is 46.", "46", r"So \[a = 46.\]"),
    (r"We get $\boxed{7}.$ The answer is 7. ", "7", "We get $7.$"),
    ("\\begin{align*}\na\n&= \\boxed{5}\n\\end{align*}", "5", "\\begin{align*}\na\n&= 5\n\\end{align*}"),
    (r"Thus, the final answer is \boxed{9}.", "9", "Thus, the final answer is 9."),
    (r"It doubles. \boxed{18} cm, we are done", "18", "It doubles."),
    (r"First $\boxed{\boxed{4}}$, and twice that is $\boxed{8}$.", "8", "First $4$, and twice that is $8$."),
    (r"The roots are $\boxed{2}$ and $\boxed{\sqrt{3}}$.", r"\sqrt{3}", r"The roots are $2$ and $\sqrt{3}$."),
    (r"So \{1, \boxed {6\}} and \fbox{x}\boxed{6 #### 6", "6", r"So \{1, 6\} and x\boxed{6"),
    ("adding gives 5 + 6 = 11", "11", "adding gives 5 + 6 = 11"),
    ("#### 5", "5", ""),
]  # fmt: skip


def laid_out(reasoning, answer):
    return f"<reasoning>\n{reasoning}\n</reasoning>\n<answer>\n\\boxed{{{answer}}}\n</answer>"


def layout(trace, answer, template=TAGS):
    try:
        final = answer_spans(trace, answer)
    except AnswerNotFound:
        final = None
    return lay_out(template, trace, answer, final), final


@pytest.mark.parametrize(("trace", "answer", "reasoning"), TRACES)
def test_the_statement_is_put_away_and_stated_anew(trace, answer, reasoning):
    response, _ = layout(trace, answer)
    assert response.text == laid_out(reasoning, answer)


@pytest.mark.parametrize(("trace", "answer", "reasoning"), TRACES)
def test_every_character_of_the_trace_is_found_again(trace, answer, reasoning):
    response, _ = layout(trace, answer)
    gone = {i for begin, end in response.removed for i in range(begin, end)}
    kept = [i for i in range(response.end) if i not in gone]
    assert "".join(trace[i] for i in kept) == reasoning
    assert all(response.text[response.at(i)] == trace[i] for i in kept)


def test_a_box_that_is_taken_off_moves_what_follows():
    r"""``\boxed{`` is 7 characters: 'b' stands at 11 of the trace, and at 11 - 8 of the reasoning."""
    response, _ = layout(r"a\boxed{3} b\boxed{4}", "4", "{reasoning}|{answer}")
    assert response.text == "a3 b4|4"
    assert (response.at(0), response.at(8), response.at(11)) == (0, 1, 3)


@pytest.mark.parametrize(("trace", "answer", "reasoning"), TRACES)
def test_a_model_that_writes_the_target_gets_the_full_reward(trace, answer, reasoning, tmp_path):
    cfg = compose(tmp_path, "prompt=igpo", "reward=paper")
    form = instantiate(cfg.prompt)
    response = form.lay_out(trace, answer, layout(trace, answer)[1])
    assert instantiate(cfg.reward)([Problem("", "", "", answer)], [response.text]).total.tolist() == [3.75]


@pytest.mark.parametrize("trace", ["no answer here ", "it says 7.\n#### 7"])
def test_an_answer_that_the_trace_lacks_is_stated_all_the_same(trace):
    response, final = layout(trace, "5")
    assert final is None and response.text == laid_out(trace.rstrip(), "5")


def test_braces_of_a_trace_mean_nothing():
    assert layout("{answer} {reasoning} {x}\n#### 1", "1")[0].text.startswith(
        "<reasoning>\n{answer} {reasoning} {x}\n</reasoning>"
    )


def test_a_trace_that_is_laid_out_already_stays():
    trace = laid_out("2 + 2 = 4", "4")
    response, final = layout(trace, "4")
    assert response.text == trace
    assert trace[: response.place(final).start] == "<reasoning>\n2 + 2 = 4\n"  # hints end with the reasoning
    assert layout("", "4")[0].text == ""


def test_layouts_of_ones_own():
    assert layout("a\n#### 1", "1", "{trace}")[0].text == "a\n#### 1"
    assert layout("a\n#### 1", "1", "> {trace} <")[0].text == "> a\n#### 1 <"
    assert layout("a\n#### 1", "1", "{reasoning} = {answer}!")[0].text == "a = 1!"
    for template in ("", "{answer}", "{trace} {reasoning}", "{trace} {trace}"):
        with pytest.raises(
            ConfigError, match=r"prompt.response: it must contain {trace} or {reasoning}, once"
        ):
            PromptFormat("x", response=template)
    with pytest.raises(ConfigError, match=r"{answer} must come after {reasoning}"):
        PromptFormat("x", response="{answer} {reasoning}")


# ---------------------------------------------------------------- as token ids


@pytest.fixture(scope="module")
def tokenizer():
    """Every character is a token, so that ids can be counted by eye."""
    return train_bpe(["x"], 259)


def hint_text(tokenizer, prompt):
    """The hint with ``_`` wherever a token is masked."""
    return "".join("_" if token == MASK else tokenizer.decode([token]) for token in prompt.hint)


@pytest.mark.parametrize(("trace", "answer", "hint"), [
    ("He eats 5, and 42 are left.\n#### 42", "42", "<reasoning>\nHe eats 5, and __ are left."),
    (r"So $x=\boxed{12}$.", "12", "<reasoning>\nSo $x="),
    (r"First $\boxed{12}$, halved $\boxed{6}$, and 6 = 6. The answer is 6.", "6",
     "<reasoning>\nFirst $12$, halved $_$, and _ = _."),
])  # fmt: skip
def test_hints_stand_where_their_text_stands_in_the_response(tokenizer, trace, answer, hint):
    prompt = Encoder(tokenizer, PromptFormat("x", response=TAGS), mask_id=MASK).encode(
        Problem("t/1", "?", trace, answer)
    )
    assert hint_text(tokenizer, prompt) == hint
    assert all(token in (MASK, prompt.response[i]) for i, token in enumerate(prompt.hint))
    assert tokenizer.decode(prompt.response).endswith(f"\\boxed{{{answer}}}\n</answer>")


def test_the_canvas_must_hold_the_whole_response(tokenizer):
    form = PromptFormat("x", response=TAGS)
    problem = Problem("t/1", "?", "yes\n#### 1", "1")
    width = len(TAGS) - len("{reasoning}{answer}") + len("yes") + len("1")
    encode = Encoder(tokenizer, form, mask_id=MASK, max_response=width + 1)
    assert len(encode.encode(problem).response) == width
    with pytest.raises(ConfigError, match=f"has {width} tokens and needs one more"):
        Encoder(tokenizer, form, mask_id=MASK, max_response=width).encode(problem)


def test_fine_tuning_needs_no_answer_in_the_trace_and_hints_do(tokenizer):
    form, problem = PromptFormat("x", response=TAGS), Problem("t/1", "?", "yes", "1")
    prompt = Encoder(tokenizer, form, mask_id=MASK, hints=False).encode(problem)
    assert tokenizer.decode(prompt.response) == laid_out("yes", "1")
    with pytest.raises(AnswerNotFound, match="problem t/1: the trace has no final answer"):
        Encoder(tokenizer, form, mask_id=MASK).encode(problem)


def test_rows_of_another_layout_are_encoded_anew(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr("igpo_lightning.data.encoding.CACHED_ROWS", 1)
    rows = [Problem("t/1", "?", "yes\n#### 1", "1")]
    for template in ("{trace}", "{reasoning} {answer}", TAGS):
        encode = Encoder(
            tokenizer, PromptFormat("x", response=template), mask_id=MASK, cache_dir=str(tmp_path)
        )
        plain = Encoder(tokenizer, PromptFormat("x", response=template), mask_id=MASK)
        assert encode.encode_all(rows).prompts[0].response == plain.encode_all(rows).prompts[0].response

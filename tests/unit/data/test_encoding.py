from collections import Counter

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import CUT, LONG_PROMPT, LONG_TRACE, NO_ANSWER, NO_TRACE, Encoder
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.data.tokenizers import MASK, SEP, word_level
from igpo_lightning.data.traces import AnswerNotFound, answer_spans
from igpo_lightning.types import Problem

WORDS = ["1", "2", "3", "5", "+", "=", ";", "?", "####", "user", "system", "go"]  # ids 4, 5, 6, ...
ONE, TWO, THREE, FIVE, PLUS, EQUALS, SEMICOLON, ASK, HASH = range(4, 13)
SEP_ID, MASK_ID = 2, 1


def problem(prompt="1 + 2 ?", trace="1 + 2 = 3 #### 3", answer="3", id="t/train/0"):
    return Problem(id, prompt, trace, answer)


def notes(encoded, kept):
    return Counter(fate.note for fate in encoded.fates if fate.kept is kept and fate.note)


@pytest.fixture
def tokenizer():
    return word_level(WORDS)


def test_prompt_response_and_hint(tokenizer):
    p = problem()
    encoded = Encoder(tokenizer).encode(p)
    assert encoded.problem is p
    assert encoded.ids == (ONE, PLUS, TWO, ASK, SEP_ID)
    assert encoded.response == (ONE, PLUS, TWO, EQUALS, THREE, HASH, THREE)
    assert encoded.hint == (ONE, PLUS, TWO, EQUALS, MASK_ID)


def test_hints_are_looked_for_when_they_are_asked_for(tokenizer, monkeypatch):
    """Milliseconds each: of a large set, a run asks for few."""
    asked = []

    def counted(trace, answer):
        asked.append(trace)
        return answer_spans(trace, answer)

    monkeypatch.setattr("igpo_lightning.data.encoding.answer_spans", counted)
    prompts = Encoder(tokenizer).encode_all([problem(), problem(trace="2 + 1 = 3 #### 3", id="b")]).prompts
    assert not asked
    assert prompts[1].hint == prompts[1].hint == (TWO, PLUS, ONE, EQUALS, MASK_ID)
    assert asked == ["2 + 1 = 3 #### 3"]


def test_prompt_format_and_mask_id(tokenizer):
    form = PromptFormat("own", system="go", user="5 ; {question} ; {question}")
    encoded = Encoder(tokenizer, form, mask_id=77).encode(problem())
    assert tokenizer.decode(encoded.ids) == f"go 5 ; 1 + 2 ? ; 1 + 2 ? {SEP}"
    assert encoded.hint[-1] == 77


def test_chat_template_is_used_when_there_is_one(tokenizer):
    turns = "{% for m in messages %}{{ m.role }} {{ m.content }} ; {% endfor %}"
    tokenizer.chat_template = turns + "{% if add_generation_prompt %}go{% endif %}"
    assert tokenizer.decode(Encoder(tokenizer).encode(problem()).ids) == "user 1 + 2 ? ; go"
    form = PromptFormat("own", system="5", user="go ; {question}")
    assert (
        tokenizer.decode(Encoder(tokenizer, form).encode(problem()).ids)
        == "system 5 ; user go ; 1 + 2 ? ; go"
    )


def test_the_canvas_must_hold_the_trace_and_its_end(tokenizer):
    assert len(Encoder(tokenizer, max_response=8).encode(problem()).response) == 7
    with pytest.raises(ConfigError) as caught:
        Encoder(tokenizer, max_response=7).encode(problem())
    message = str(caught.value)
    for part in ("t/train/0", "7 tokens", "holds 7", "sampler.length", "data.on_long=drop"):
        assert part in message


def test_long_prompts(tokenizer):
    assert Encoder(tokenizer, max_prompt=5).encode(problem())
    with pytest.raises(ConfigError, match=r"t/train/0: the prompt has 5 tokens, more than data.max_prompt=4"):
        Encoder(tokenizer, max_prompt=4).encode(problem())


def test_bad_rows_are_dropped_and_counted_or_raise(tokenizer):
    good, long_prompt = problem(id="a"), problem(prompt="1 + 2 + 3 ?", id="b")
    long_trace = problem(trace="1 + 1 + 1 + 1 = 3 #### 3", id="c")
    no_answer = problem(answer="5", id="d")
    rows = [long_prompt, good, long_trace, no_answer, long_trace]
    limits = dict(max_prompt=5, max_response=8)
    report = Encoder(tokenizer, **limits, on_long="drop", on_missing_answer="drop").encode_all(rows)
    assert [p.problem.id for p in report.prompts] == ["a"]
    assert notes(report, kept=False) == {LONG_PROMPT: 1, LONG_TRACE: 2, NO_ANSWER: 1}
    with pytest.raises(ConfigError, match="problem b"):
        Encoder(tokenizer, **limits, on_missing_answer="drop").encode_all(rows)
    with pytest.raises(AnswerNotFound, match=r"problem d: .*data.on_missing_answer=drop"):
        Encoder(tokenizer, **limits, on_long="drop").encode_all(rows)
    assert Encoder(tokenizer).encode_all([]).prompts == ()


def test_a_long_trace_is_cut_where_it_is_a_source_of_hints(tokenizer):
    rows = [problem(), problem(trace="1 + 1 + 1 = 3 #### 3")]
    report = Encoder(tokenizer, max_response=8, on_long="cut").encode_all(rows)
    assert not notes(report, kept=False) and notes(report, kept=True) == {CUT: 1}
    assert [len(p.response) for p in report.prompts] == [7, 8]
    assert report.prompts[1].hint == (ONE, PLUS, ONE, PLUS, ONE, EQUALS, MASK_ID), "the answer stays hidden"
    short = Encoder(tokenizer, max_response=4, on_long="cut").encode_all(rows)
    assert [p.hint for p in short.prompts] == [(ONE, PLUS, TWO, EQUALS), (ONE, PLUS, ONE, PLUS)]


def test_a_long_target_is_not_cut_but_left_out(tokenizer):
    rows = [problem(), problem(trace="1 + 1 + 1 = 3 #### 3")]
    report = Encoder(tokenizer, max_response=8, on_long="cut", hints=False, targets=True).encode_all(rows)
    assert len(report.prompts) == 1 and notes(report, kept=False) == {LONG_TRACE: 1}
    short = Encoder(tokenizer, max_prompt=3, on_long="cut").encode_all(rows)
    assert notes(short, kept=False) == {LONG_PROMPT: 2}


def test_a_problem_without_a_trace_has_no_hints_and_is_no_target(tokenizer):
    rows = [problem(), problem(trace="")]
    report = Encoder(tokenizer).encode_all(rows)
    assert [p.hint for p in report.prompts][1] == () and notes(report, kept=True) == {NO_TRACE: 1}
    options = dict(hints=False, targets=True)
    dropping = Encoder(tokenizer, on_missing_answer="drop", **options).encode_all(rows)
    assert len(dropping.prompts) == 1 and notes(dropping, kept=False) == {NO_TRACE: 1}
    with pytest.raises(
        ConfigError, match="problem t/train/0: it has no trace, and fine-tuning learns nothing"
    ):
        Encoder(tokenizer, **options).encode_all(rows)


def test_without_hints_no_answer_is_needed(tokenizer):
    encoded = Encoder(tokenizer, hints=False).encode(problem(trace="1 + 2", answer="5"))
    assert encoded.hint == () and encoded.response == (ONE, PLUS, TWO)


@pytest.mark.parametrize("part", ["prompt", "trace"])
def test_the_mask_token_is_not_for_data(tokenizer, part):
    with pytest.raises(ConfigError, match="problem t/train/0: its text contains the mask token"):
        Encoder(tokenizer).encode(problem(**{part: f"1 {MASK} #### 3"}))


def test_tokenizers_that_will_not_do(tokenizer):
    with pytest.raises(ConfigError, match=r"data.on_long=skip: expected one of cut, drop, error"):
        Encoder(tokenizer, on_long="skip")
    bare = word_level(["1"])
    bare._tokenizer = type(bare._tokenizer).from_str(bare._tokenizer.to_str().replace(SEP, "<|other|>"))
    with pytest.raises(ConfigError, match="neither a chat template nor"):
        Encoder(bare)
    bare.mask_token = None
    with pytest.raises(ConfigError, match="no mask token"):
        Encoder(bare)

import json
import re

import pytest
from cpu_time import cpu_seconds_below

from igpo_lightning.data.literal import literal_tokens
from igpo_lightning.data.sources import Gsm8k, Math
from igpo_lightning.data.tokenizers import train_bpe, word_level
from igpo_lightning.data.traces import AnswerNotFound, answer_spans, mask_answer


def told(trace, answer):
    """(hint part of the trace, mentions in it)."""
    final = answer_spans(trace, answer)
    return trace[: final.start], [trace[b:e] for b, e in final.spans if e <= final.start]


def hint_ids(trace, answer, tokenizer, mask_id):
    [(ids, offsets)] = literal_tokens([trace], tokenizer)
    return mask_answer(ids, offsets, answer_spans(trace, answer), mask_id)


@pytest.mark.parametrize(
    "trace, answer, hint, mentions",
    [
        ("48 + 24 = 72 clips.\n#### 72", "72", "48 + 24 = 72 clips.\n", ["72"]),
        ("She sold 10.\nThe answer is: 72", "72", "She sold 10.\n", []),
        ("6 * 12 = 72. The answer is 72.", "72", "6 * 12 = 72. ", ["72"]),
        ("So the final answer is 72.", "72", "So ", []),
        ("It is $x = \\boxed{72}$.", "72", "It is $x = ", []),
        ("The answer is \\boxed{72}.", "72", "The answer is ", []),
        ("5 + 2 = 7 ; 7 + 5 = 12", "12", "5 + 2 = 7 ; 7 + 5 ", []),
        ("So $a+b=-3+3=\\boxed{0}$. The answer is 0.", "0", "So $a+b=-3+3=\\boxed{0}$. ", ["\\boxed{0}"]),
        ("It is 1,000 or 1000.0\n#### 1,000", "1000", "It is 1,000 or 1000.0\n", ["1,000", "1000.0"]),
        ("It costs .25.25 more\n#### 25", "25", "It costs .25.25 more\n", [".25.25"]),
        ("a quarter is .25\n#### 0.25", "0.25", "a quarter is .25\n", ["a quarter", ".25"]),
        ("$12,\\!650$ ways. The answer is 12,\\!650.", "12,\\!650", "$12,\\!650$ ways. ", ["12,\\!650"]),
        ("172 and 7.2 and 720 and 1,072\n#### 72", "72", "172 and 7.2 and 720 and 1,072\n", []),
        ("72km, 72nd, $72, x72\n#### 72", "72", "72km, 72nd, $72, x72\n", ["72", "72", "72", "72"]),
        ("x = -3, so |x| = 3\n#### -3", "-3", "x = -3, so |x| = 3\n", ["-3", "3"]),
        ("half is \\dfrac{1}{2}, 1/2, 2/4 or 0.5. \\boxed{\\frac12}", "\\frac{1}{2}",
         "half is \\dfrac{1}{2}, 1/2, 2/4 or 0.5. ", ["half", "\\dfrac{1}{2}", "1/2", "2/4", "0.5"]),
        ("6/2 = 3, 7-3\n#### 3", "3", "6/2 = 3, 7-3\n", ["3", "3"]),
        ("It is (18,-18), not (18, -19). \\boxed{(18, -18)}", "(18, -18)",
         "It is (18,-18), not (18, -19). ", ["(18,-18)", "18"]),
        ("Bart or B? \\boxed{\\text{B}}", "B", "Bart or B? ", ["B"]),
        ("in 8 \\text{ cm} and 8. The answer is 8\\text{ cm}.", "8 \\text{ cm}",
         "in 8 \\text{ cm} and 8. ", ["8 \\text{ cm", "8"]),
        ("x+1 then 2x + 1, 12x+1. \\boxed{2x+1}", "2x+1", "x+1 then 2x + 1, 12x+1. ", ["2x + 1"]),
        ("\\frac{1}{\\boxed{5}} then \\boxed{7}", "7", "\\frac{1}{\\boxed{5}} then ", []),
        ("y = 4 sq. The answer is 4 \\text{ sq. ft}.", "4 \\text{ sq. ft}", "y = 4 sq. ", ["4"]),
        ("Is it chance that the answer is 24? The answer is 24.", "24",
         "Is it chance that the answer is 24? ", ["the answer is 24"]),
    ],
)  # fmt: skip
def test_what_is_cut_and_what_is_masked(trace, answer, hint, mentions):
    assert told(trace, answer) == (hint, mentions)


@pytest.mark.parametrize(
    "trace, answer",
    [
        ("48 + 24 = 72", "73"),
        ("#### 72", "73"),
        ("\\boxed{72}. The answer is 73.", "72"),  # what is said last counts
        ("It costs 72 dollars", "72"),  # no statement
        ("The answer is 172.", "72"),
        ("The answer is -72.", "72"),
        ("\\boxed{72", "72"),
        ("", "72"),
        ("The answer is .", ""),
    ],
)
def test_a_trace_must_end_in_its_answer(trace, answer):
    with pytest.raises(AnswerNotFound, match="answer is"):
        answer_spans(trace, answer)


@pytest.mark.parametrize(
    "stated, answer",
    [
        ("1,000", "1000"),
        ("$18", "18"),
        ("\\$18.", "18.00"),
        ("25\\%", "25"),
        ("\\dfrac{3}{4}", "0.75"),
        ("\\tfrac34", "\\frac{3}{4}"),
        ("-\\frac{1}{2}", "-1/2"),
        ("90^{\\circ}", "90^\\circ"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("\\text{Friday}", "Friday"),
    ],
)
def test_one_answer_in_two_spellings(stated, answer):
    assert answer_spans(f"So \\boxed{{{stated}}}", answer).start == 3


def test_hint_positions_are_those_of_the_response():
    tokenizer = word_level(["7", "+", "5", "=", "12", ";", "-", "2", "10", "####"])
    trace = "7 + 5 = 12 ; 12 - 2 = 10 ; 10 + 2 = 12 #### 12"
    ids = tokenizer(trace)["input_ids"]
    mask = 99
    hint = hint_ids(trace, "12", tokenizer, mask)
    twelves = {4, 6, 16}
    assert hint == tuple(mask if i in twelves else ids[i] for i in range(17))


class MergingTokenizer:
    """A fast tokenizer with the fixed tokens "a ", "=7", "2 b", "\\n###", "# 72"."""

    is_fast, added_tokens_decoder, unk_token_id = True, {}, None

    def __call__(self, texts, **_):
        offsets = [(0, 2), (2, 4), (4, 7), (7, 11), (11, 15)]
        return {"input_ids": [[1, 2, 3, 4, 5]] * len(texts), "offset_mapping": [offsets] * len(texts)}


def test_tokens_that_touch_the_answer_or_the_statement_go():
    # "=7" and "2 b" each hold half of 72; "\n###" reaches into the statement, which begins at "####".
    assert hint_ids("a =72 b\n#### 72", "72", MergingTokenizer(), 0) == (1, 0, 0)


def test_bpe_hints_are_masked_by_character():
    tokenizer = train_bpe(["so 172 + 72 is 244 clips #### 72 "] * 50, 320)
    trace = "so 172 + 72 is clips\n#### 72"
    [(ids, offsets)] = literal_tokens([trace], tokenizer)
    hint = hint_ids(trace, "72", tokenizer, tokenizer.mask_token_id)
    masked = {trace[b:e].strip() for i, (b, e) in enumerate(offsets[: len(hint)]) if hint[i] != ids[i]}
    assert masked == {"7", "2"}
    assert "172 +" in tokenizer.decode(hint)


@pytest.mark.parametrize(
    "text", ["\\boxed{" * 8_000, "\\frac{" * 8_000, "1," * 8_000, "$ " * 8_000, "the answer is " * 2_000]
)
def test_hostile_text_takes_no_time(text):
    with cpu_seconds_below(24):
        for answer in ("72", "\\frac{1}{2}", "a b c", text[:5000]):
            with pytest.raises(AnswerNotFound):
                answer_spans(text, answer)
            answer_spans(f"{text}\n#### 72", "72")


def found_share(problems):
    missed = []
    for problem in problems:
        try:
            answer_spans(problem.trace, problem.answer)
        except AnswerNotFound as error:
            missed.append(f"{problem.id}: {error}")
    return 1 - len(missed) / len(problems), missed


@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_gsm8k_traces(real_data, every):
    share, missed = found_share(Gsm8k(str(real_data("gsm8k"))).train[::every])
    print(f"GSM8K train: {share:.2%} of traces stripped; missed: {missed}")
    assert share == 1.0


def test_gsm8k_hints_hold_no_number_of_the_answers_value(real_data):
    source = Gsm8k(str(real_data("gsm8k")), train_size=400, val_size=0, test_size=1)
    tokenizer = train_bpe(source.corpus(), 1024)
    for problem in source.train:
        text = tokenizer.decode(hint_ids(problem.trace, problem.answer, tokenizer, tokenizer.mask_token_id))
        numbers = {float(n.replace(",", "")) for n in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", text)}
        assert float(problem.answer) not in numbers, problem


@pytest.mark.slow
def test_math_traces(real_data):
    source = Math(str(real_data("math_train")), val_size=0, test_size=0)
    share, missed = found_share(source.train)
    print(f"MATH train: {share:.2%} of traces stripped; dropped {source.dropped}; missed: {missed}")
    assert share > 0.999


def test_math500_solutions_without_a_closing_sentence(real_data):
    rows = [json.loads(line) for line in (real_data("math500") / "test.jsonl").read_text().splitlines()]
    missed = []
    for row in rows:
        try:
            answer_spans(row["solution"], row["answer"])
        except AnswerNotFound as error:
            missed.append(str(error)[:100])
    print(f"MATH-500: {len(missed)} of {len(rows)} missed: {missed}")
    assert len(missed) <= 5

import pytest
from cpu_time import cpu_seconds_below

from igpo_lightning.rewards.answers import ends_cleanly, extract, statements


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{72}", "72"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\fbox{7}", "7"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{5} and \boxed{6", "5"),
        (r"\boxed{ \boxed{5}", "5"),
        (r"} \boxed{5}", "5"),
        (r"a \\\boxed{5}", "5"),
        (r"\boxed{}", None),
        (r"\boxed{3} #### 4", "4"),
        ("6*12=72\n#### 72", "72"),
        ("#### 1\n#### 2<|endoftext|><|endoftext|>", "2"),
        ("####72", "72"),
        ("#### ", None),
        ("##### 5", None),
        ("The answer is: 72", "72"),
        ("the final answer is 3.5. Well done.", "3.5"),
        ("The answer is 1. No, the answer is 2", "2"),
        (r"The answer is $\boxed{8}$.", "8"),
        ("<answer> 72\n</answer>", "72"),
        ("<answer>x<3</answer>", "x<3"),
        ("<answer>1</answer><answer>2</answer>", "2"),
        (r"<reasoning>\boxed{1}</reasoning><answer>\boxed{2}</answer>", "2"),
        ("<answer>The answer is 72.</answer>", "72"),
        ("<reasoning>The answer is 7</reasoning><answer>72</answer>", "72"),
        ("#### 72</answer>", "72"),
        ("<answer></answer>", None),
        ("<answer>72", None),
        ("72", None),
        ("", None),
    ],
)
def test_extract(completion, answer):
    assert extract(completion) == answer


def test_long_answers_are_cut():
    assert extract(r"\boxed{" + "1" * 5000 + "}") == "1" * 5000
    assert len(extract(r"\boxed{" + "1" * 50_000 + "}")) == 20_000


def test_deep_nesting_takes_linear_time():
    with cpu_seconds_below(20):
        assert extract(r"\boxed{" * 20000) is None
        assert extract(r"\boxed{" * 5000 + "1" + "}" * 5000) is not None
        assert extract("<answer>" * 20000) is None
        assert extract("<answer>" + " " * 200000) is None


@pytest.mark.parametrize(
    ("completion", "count", "clean"),
    [
        (r"The answer is $\boxed{72}$.", 1, True),
        (r"\[ x = \boxed{72} \]", 1, True),
        ("#### 72<|endoftext|>\n<eos>", 1, True),
        (r"#### \boxed{72}", 1, True),
        (r"\boxed{72} clips were sold", 1, False),
        (r"\boxed{7} \boxed{8}", 2, True),
        ("#### 7\nThe answer is 7", 2, True),
        ("<answer>\n\\boxed{72}\n</answer><|eot_id|>", 1, True),
        ("<answer>72</answer>", 1, True),
        ("<answer>72</answer> clips", 1, False),
    ],
)
def test_statements_and_what_follows_them(completion, count, clean):
    found = statements(completion)
    assert len(found) == count
    assert ends_cleanly(completion, found[-1]) is clean


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("the final answer is 3.5. Well done.", "3.5"),
        ("<answer>The answer is 72.</answer>", "72"),
        ("\\boxed{3} #### 4", "4"),
        ("**Final Answer**\n\n42", "42"),
        ("**Final Answer**\n\\[ 42 \\]", "42"),
        ("**Final Answer**\n\\[ \\boxed{42} \\]", "42"),
        ("### Final Answer\n\n$$\nx = 42\n$$", "x = 42"),
        ("Final Answer: The final answer is $42$. I hope it is correct.", "$42$"),
        ("Final Answer:\n$\\frac{1}{2}$", "$\\frac{1}{2}$"),
        ("The answer is 4 sq. ft.", "4 sq. ft"),
        ("Therefore, the answer is $5$ apples. Check: 2+3=5.", "$5$ apples"),
        ("The answer to the question is 12 dollars.", "12 dollars"),
        ("\\boxed{5}. So the answer is correct.", "5"),
        ("\\boxed{5}\n\nThe answer is in simplest form.", "5"),
        ("\\boxed{5}\n#### Verification\n2+3=5", "5"),
        ("\\boxed{5}\n\n#### Step 2: check 2+3 = 5", "5"),
        ("The answer is Evelyn.", "Evelyn"),
        ("The answer is no solution.", "no solution"),
        ("So, the answer is option (B).", "(B)"),
        ("The answer is therefore 7.", "7"),
        ("Answer: $\\boxed{7}$", "7"),
        ("**Answer: 7**", "7"),
        ("**Answer**: 7 apples", "7 apples"),
        ("Answer: 3/4 because 6/8", "3/4"),
        ("The total is **73**.", "73"),
        ("The total is **73 clips**", "73 clips"),
        ("Thus it is **73** clips.", "73"),
        ("So\n\\[ x = 73. \\]", "x = 73."),
        ("So\n$$73$$", "73"),
        ("Our final answer is thus \\(x=3\\), as required.", "\\(x=3\\)"),
        ("The answer is 1,234.56 dollars!", "1,234.56 dollars"),
        ("the answer is (1, 2)", "(1, 2)"),
        ("The answers are 5 and 6.", "5 and 6"),
        ("The answer is x = 3 or x = 5.", "x = 3 or x = 5"),
        ("#### 5\nThe answer is \\boxed{6", "5"),
        ("\\boxed{5}\n\nFinal answer: \\boxed{6", "5"),
        ("What is the answer? The answer is: **$18**", "$18"),
        ("#### 18 dollars\n", "18 dollars"),
        ("#### Answer: 18", "18"),
        ("#### The answer is 18.", "18."),
        ("The answer is 5:30 p.m.", "5:30 p.m"),
        ("The answer is 5:30 p.m. The shop closes.", "5:30 p.m"),
        ("Answer:\n\n\\boxed{x=1},\\quad \\boxed{y=2}", "x=1, y=2"),
        ("$\\boxed{3}$ or $\\boxed{4}$", "3, 4"),
        ("\\boxed{5}, \\boxed{5}", "5"),
        ("Answer = 9", "9"),
        ("Thus, answer: 9", "9"),
        ("the correct answer is **B**", "B"),
        ("The answer is -5.", "-5"),
        ("the answer is -\\frac{1}{2}.", "-\\frac{1}{2}"),
        ("The answer is $3.50.", "$3.50"),
        ("The answer is $3.50$.", "$3.50$"),
        ("The answer is 3,\n so done", "3,"),
        ("The answer must be 17.", "17"),
        ("The answer would be 17 (rounded).", "17 (rounded)"),
        ("I think the answer is 7, but let me check. 3+5=8. So the answer is 8.", "8"),
        ("The answer is given by $2+3=5$.\nHence \\boxed{5}", "5"),
        ("The final answer is $\\boxed{5}$ and not 6", "5"),
        ("The answer is 3 + 4 = 7.", "3 + 4 = 7"),
        ("The answer is 6*12 = 72 clips.", "6*12 = 72 clips"),
        ("My answer: 5", "5"),
        ("**ANSWER:**\n\n5", "5"),
        ("The answer: 10.", "10"),
        ("Answer: (C) 15", "(C) 15"),
        ("Answer:C", "C"),
        ("Final Answer: \\[ \\frac{3}{4} \\]", "\\frac{3}{4}"),
        ("The answer is \\frac{3}{4}", "\\frac{3}{4}"),
        ("The final answer is 10<|eot_id|>", "10"),
        ("The answer is:\n$$\\boxed{10}$$", "10"),
        ("the answer is clear: \\boxed{10}. We conclude.", "10"),
        ("Final answer: 5 apples and 3 pears.", "5 apples and 3 pears"),
        ("So we get the final answer.\n\n**5**", "5"),
        ("The answer is 5. The answer is the number of clips.", "5"),
        ("A: 5", None),
        ("The answer is found by adding 2 and 3.", None),
    ],
)
def test_the_words_people_use(completion, answer):
    assert extract(completion) == answer


@pytest.mark.parametrize(
    ("completion", "kind", "said"),
    [
        ("So 5 + 2 = 7. Therefore, the final answer is $7$.", "phrase", "the final answer is $7$"),
        ("So 5 + 2 = 7.\n\n**Answer:** 7", "phrase", "Answer:** 7"),
        ("So 5 + 2 = 7.\n\n#### 7", "hashes", "#### 7"),
        ("$x=\\boxed{7}$ and $y=\\boxed{8}$.", "box", "\\boxed{7}$ and $y=\\boxed{8}"),
        ("The total is **7 clips**.", "bold", "**7 clips"),
        ("Thus\n\\[ x = 7 \\]\n", "display", "\\[ x = 7 "),
    ],
)
def test_a_statement_begins_with_the_words_that_lead_to_it(completion, kind, said):
    *_, last = statements(completion)
    assert (last.kind, completion[last.start : last.end]) == (kind, said)


LONG = [
    "the answer is ",
    "answer:",
    "**",
    "$",
    "\\[",
    " ",
    "answer to ",
    "#### ",
    "\\boxed{1} and ",
    "<|",
    "<answer>",
    "`",
    "**a *b",
    "_a ",
    "<b>",
    "always ",
    "\\begin{align}x &= ",
]


@pytest.mark.parametrize("piece", LONG)
def test_hostile_text_takes_little_time(piece):
    text = piece * (100_000 // len(piece))
    with cpu_seconds_below(10):  # milliseconds are usual
        for completion in (text, f"the answer is {text}", f"{text} \\boxed{{5}}"):
            found = statements(completion)
            assert not found or ends_cleanly(completion, found[-1]) in (True, False)

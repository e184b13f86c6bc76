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
        (r"\boxed{3} #### 4", "3"),
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
        ("<answer>The answer is 72.</answer>", "72."),
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
    assert extract(r"\boxed{" + "1" * 1000 + "}") == "1" * 300


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

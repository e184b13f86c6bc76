"""Rows of programming problems: read strictly, and traces whose hints hold no code."""

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.encoding import Encoder
from igpo_lightning.data.sources import Table
from igpo_lightning.data.sources.code import read
from igpo_lightning.data.sources.rows import BadRow, Row
from igpo_lightning.data.tokenizers import train_bpe

CALL = {"call": "f", "args": [2, [3]], "expected": {"a": [4]}}
ROW = {"question": "Do it.", "tests": [CALL]}
TRACE = """First think of return x * x as a loop.
```python
def f(x): return x + x
```
That is wrong, so square it.
```python
def f(x):
    return x * x
```"""


def problem(**changes):
    return read(Row("mine.jsonl:3", 2, {**ROW, **changes}), "code/train")


def test_tests_of_three_kinds():
    tests = [CALL, {"stdin": "1", "stdout": "2"}, "assert f(1, k=(2,)) == {3, 4}", "assert f() == -1"]
    made = problem(tests=tests)
    encoded = {"call": "f", "args": ["list", 2, ["list", 3]], "kwargs": ["dict"]}
    assert made.task["tests"] == [
        {**encoded, "expected": ["dict", ["a", ["list", 4]]]},
        {"stdin": "1", "stdout": "2"},
        {
            "call": "f",
            "args": ["list", 1],
            "kwargs": ["dict", ["k", ["tuple", 2]]],
            "expected": ["set", 3, 4],
        },
        {"call": "f", "args": ["list"], "kwargs": ["dict"], "expected": -1},
    ]
    assert (made.id, made.prompt, made.trace, made.answer, made.tells) == (
        "code/train/2",
        "Do it.",
        "",
        "",
        None,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"tests": []}, "'tests' must be a list of tests, got list"), ({"tests": None}, "got null"),
     ({"tests": [3]}, r"tests\[0\]: expected call"),
     ({"tests": [CALL, {"call": "f"}]}, r"tests\[1\]: expected"),
     ({"tests": [{**CALL, "more": 1}]}, "expected call"),
     ({"tests": [{**CALL, "call": "f()"}]}, "a function"),
     ({"tests": [{**CALL, "args": 1}]}, "'args' must be a list"),
     ({"tests": [{"stdin": 1, "stdout": ""}]}, "text"),
     ({"tests": ["assert f(x) == 1"]}, "plain values"), ({"tests": ["assert f(1)"]}, "plain values"),
     ({"tests": ["assert f(1) == 1; import os"]}, "plain values"), ({"tests": ["f(1) == 1"]}, "plain values"),
     ({"tests": ["assert f(1) != 1"]}, "plain values"), ({"tests": ["assert a.f(1) == 1"]}, "plain values"),
     ({"tests": ["assert"]}, "plain values"), ({"question": ""}, "'question' is empty"),
     ({"trace": "no code"}, "holds no block of code")],
)  # fmt: skip
def test_bad_rows_are_named(changes, message):
    with pytest.raises(BadRow, match=rf"^mine\.jsonl:3: .*{message}"):
        problem(**changes)


def test_hints_hold_no_code():
    made = problem(trace=TRACE)
    told = [made.trace[begin:end] for begin, end in made.tells]
    assert told[0] == "return x * x" and told[1].startswith("```python\ndef f(x): return x + x")
    assert told[2] == made.trace[made.tells[2][0] :] and told[2].startswith("```python\ndef f(x):\n")
    tokenizer = train_bpe([TRACE], 400)
    encoder = Encoder(tokenizer)
    hint = encoder.encode(made).hint
    shown = tokenizer.decode([token for token in hint if token != encoder.mask_id])
    assert "square it" in shown and "First think of" in shown
    assert "return" not in shown and "def" not in shown and "x *" not in shown


def test_a_bad_line_of_a_file_is_named(tmp_path):
    file = tmp_path / "mine.jsonl"
    good = '{"question": "q%d", "tests": ["assert f(%d) == 1"]}\n'
    file.write_text("".join(good % (i, i) for i in range(4)) + '{"question": "q", "tests": [1]}\n')
    with pytest.raises(ConfigError, match=rf"{file}:5: tests\[0\]: expected call"):
        Table(str(file), make=read, val_size=1, test_size=1)

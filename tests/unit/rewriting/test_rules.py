import hashlib
import json

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewriting import Rules
from igpo_lightning.types import Problem

PROBLEM = Problem("toy/1", "What is {answer}?", "It is {tokens}, \\frac{1}{2}.", "\\frac{1}{2}")


def test_a_problem_fills_the_templates_in_one_pass():
    user = "Q {question} T {trace} A {answer} {tokens} {words}"
    rules = Rules(user=user, retry="{reason}", system="S {words}")
    ask = rules.ask(PROBLEM, tokens=100)
    assert ask.user == "Q What is {answer}? T It is {tokens}, \\frac{1}{2}. A \\frac{1}{2} 100 50"
    assert ask.messages == [
        {"role": "system", "content": "S 50"},
        {"role": "user", "content": ask.user},
    ]


def test_a_retry_says_what_was_wrong():
    rules = Rules(user="{question}{trace}", retry="No: {reason} You wrote: {rewrite} Limit {tokens}")
    ask = rules.ask(PROBLEM, 10, attempt=2, rejected=("{reason}" + "x" * 5000, "too long."))
    assert ask.attempt == 2
    said = ask.user.partition("\n\n")[2]
    assert said == "No: too long. You wrote: {reason}" + "x" * 3992 + " Limit 10"
    assert ask.messages[0]["role"] == "user"  # without a system template there is no such message


def test_the_hash_is_of_the_words():
    rules = Rules(user="{question}{trace}", retry="{reason}")
    text = json.dumps({"retry": "{reason}", "system": None, "user": "{question}{trace}"})
    assert rules.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert rules.sha256 != Rules(user="{question}{trace}", retry="{reason}!").sha256


@pytest.mark.parametrize(("name", "lacks"), [("user", "{trace}"), ("retry", "{reason}")])
def test_a_template_that_lacks_its_point_is_refused(name, lacks):
    templates = {"user": "{question}{trace}", "retry": "{reason}"}
    templates[name] = templates[name].replace(lacks, "")
    with pytest.raises(ConfigError, match=rf"rules\.{name}: it must contain \{lacks}"):
        Rules(**templates)

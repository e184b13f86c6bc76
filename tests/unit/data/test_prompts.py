from pathlib import Path

import pytest
from fakes import compose, datamodule, tiny_policy
from hydra.utils import instantiate

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.prompts import PLAIN, PromptFormat
from igpo_lightning.rewards import extract

NAMES = sorted(path.stem for path in (Path(__file__).resolve().parents[3] / "conf" / "prompt").glob("*.yaml"))


def test_the_question_goes_where_its_name_stands_and_other_braces_stay():
    form = PromptFormat("x", user=r"{question} in \boxed{} or {0}: {question}")
    assert form.ask("1 {question}") == r"1 {question} in \boxed{} or {0}: 1 {question}"
    assert PLAIN.ask("a\nb ") == "a\nb "
    with pytest.raises(ConfigError, match=r"prompt.user: it must contain \{question\}"):
        PromptFormat("x", user="{problem}")


def test_the_hash_is_of_the_words_and_not_of_the_name():
    assert PromptFormat("a").sha256 == PromptFormat("b").sha256 == PLAIN.sha256
    words = [(None, "{question}"), ("", "{question}"), ("{question}", "{question}"), (None, "{question} ")]
    assert len({PromptFormat("a", system, user).sha256 for system, user in words}) == 4


def test_all_formats_are_there():
    assert NAMES == ["code", "countdown", "d1", "igpo", "llada", "plain", "sudoku"]


@pytest.mark.parametrize("name", NAMES)
def test_a_format_reaches_the_encoder(name, tmp_path):
    cfg = compose(tmp_path, f"prompt={name}")
    form = instantiate(cfg.prompt)
    assert isinstance(form, PromptFormat) and form.name == name
    data = datamodule(cfg)
    encoder = data.encoder(tiny_policy().tokenizer)
    assert encoder.prompt == form
    assert encoder.prompt_text("Why ?") == f"{form.ask('Why ?')}<|sep|>"
    assert (form == PLAIN) == (name == "plain")


@pytest.mark.parametrize(
    "name", sorted(set(NAMES) - {"plain", "code", "sudoku"})
)  # their answers are no formulas
def test_formats_of_maths_ask_for_a_box_and_not_for_a_backspace(name, tmp_path):
    asked = instantiate(compose(tmp_path, f"prompt={name}").prompt).ask("Why?")
    assert "\\boxed{" in asked and "\b" not in asked and "Why?" in asked
    assert extract(r"<reasoning>\boxed{1}</reasoning><answer>\boxed{2}</answer>") == "2"

"""Values that Hydra can't read as they are typed: the line that it answers with works."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.quoting import split, unclosed
from igpo_lightning.cli.tree import open_tree


@pytest.fixture
def texts_tree(conf_tree):
    """The small tree with a text, a path, a list and a number to set."""
    with (conf_tree / "train.yaml").open("a") as file:
        file.write("prompt: {user: '{question}'}\nresume: null\nwarm_start: []\n")
    return conf_tree


def advice(tree, override: str, **options) -> str:
    """The quoted override within the refusal, as a shell gives it to the program."""
    with pytest.raises(ConfigError) as caught:
        check_command_line(tree, "train", [override], **options)
    said = str(caught.value)
    assert "\n" not in said
    shell = said[said.index(override) + len(override) :]
    shell = shell[shell.index("'") :]
    return subprocess.run(["sh", "-c", f"printf %s {shell}"], capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "a=b"),
        ("name", "step#3"),
        ("name", "größer"),
        ("name", "答え"),
        ("name", "x (2)"),
        ("name", "a,b"),
        ("name", "{a}"),
        ("name", "1; 2"),
        ("name", "a & b"),
        ("name", "it's"),
        ("name", 'say "so'),
        ("name", "what!"),
        ("name", "[a=b]"),
        ("prompt.user", "Solve {question}, please (in $)"),
        ("prompt.user", "{question}"),
        ("prompt.user", "In $\\frac{1}{2}$: {question}"),
        ("prompt.user", "Box it, ${\\boxed{3}}$: {question}"),
        ("prompt.user", "${\\boxed{3}}$ {question}"),
    ],
)
def test_the_quoted_form_means_the_same(texts_tree, key, value):
    right = advice(texts_tree, f"{key}={value}")
    cfg = check_command_line(texts_tree, "train", [right]).cfg
    assert OmegaConf.select(cfg, key) == value


def test_a_latex_group_in_quotes_of_hydra_is_no_interpolation(texts_tree):
    right = advice(texts_tree, 'prompt.user="Put ${\\boxed{}}$ last: {question}"')
    cfg = check_command_line(texts_tree, "train", [right]).cfg
    assert cfg.prompt.user == "Put ${\\boxed{}}$ last: {question}"


@pytest.mark.parametrize("given", ["[algo.lr=5,seed=2]", "algo.lr=5,seed=2"])
def test_the_items_of_a_list_are_quoted_one_by_one(texts_tree, given):
    right = advice(texts_tree, f"warm_start={given}")
    assert right == 'warm_start=["algo.lr=5","seed=2"]'
    assert check_command_line(texts_tree, "train", [right]).cfg.warm_start == ["algo.lr=5", "seed=2"]


def test_the_values_of_a_sweep_are_quoted_one_by_one(texts_tree):
    right = advice(texts_tree, "prompt.user={question} Antwort:,{question} 答え:", multirun=True)
    assert shlex.quote(right) == """'prompt.user="{question} Antwort:","{question} 答え:"'"""
    assert check_command_line(texts_tree, "train", [right], multirun=True).swept == {"prompt.user": 2}


def test_an_interpolation_within_another_is_quoted(texts_tree, monkeypatch):
    monkeypatch.setenv("IGPO_SEED", "7")
    right = advice(texts_tree, "seed=${oc.decode:${oc.env:IGPO_SEED}}")
    assert check_command_line(texts_tree, "train", [right]).cfg.seed == 7


def test_home_is_expanded_in_a_path_that_is_quoted(texts_tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    right = advice(texts_tree, "output_dir=~/runs/a")
    line = check_command_line(texts_tree, "train", [right])
    assert line.cfg.output_dir == f"{tmp_path}/runs/a"
    assert check_command_line(texts_tree, "train", ['name="~/a"']).cfg.name == "~/a"  # no path


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=[1", "the [ at its start is not closed"),
        ("seed=range(0,3", "the ( at its start is not closed"),
        ('name="a b', 'the " at its start is not closed'),
        ("seed=${oc.env:HOME", "the ${ at its start is not closed"),
        ("seed==3", "expected a number (the default is 0)"),
        ("verbose=#t", "expected true or false"),
        ("data.levels=(1,2)", "expected a list such as [1,2]"),
        ("data.levels=1,2", "add -m, or give a list: data.levels=[1,2]"),
        ("algo", "algo: expected algo=…, one of grpo, igpo"),
        ("grpo", "did you mean algo=grpo?"),
        ("seed:4", "did you mean seed=4?"),
        ("sede", "did you mean seed=…?"),
        ("output_dir=", "nothing stands after the ="),
        ("algo=", "nothing stands after the ="),
        ('output_dir=""', "it is empty"),
    ],
)
def test_what_no_quotes_mend(texts_tree, override, message):
    with pytest.raises(ConfigError) as caught:
        check_command_line(texts_tree, "train", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_documented_lines_can_be_read(texts_tree):
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text(encoding="utf-8")
    typed = [text for text in re.findall(r"`([^`\n]+)`", page) if re.match(r"'?[\w.]+=\S", text)]
    assert len(typed) > 10
    with open_tree(texts_tree, "train") as tree:
        for text in typed:
            for override in shlex.split(text):
                assert tree.try_parse(override) is not None, text


def test_commas_within_brackets_and_quotes_do_not_part():
    assert split("a, [b,c],'d,e', f(g,h)") == ["a", "[b,c]", "'d,e'", "f(g,h)"]
    assert split("") == [""]


def test_what_is_not_closed():
    assert [unclosed(text) for text in ("[a", "{a: [b]", "f(x", "'a", "a(", "(a)", "${b", "a[b")] == [
        "[", "{", "(", "'", "(", None, "${", None,
    ]  # fmt: skip

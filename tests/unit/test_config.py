from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from igpo_lightning.config import _literal, composed, construct, quoted, resolved_yaml


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "a \\${b}",
        "Box it: \\${\\boxed{}}$",
        "two \\\\\\${x}",
        "C:\\dir",
        "größer, 答え",
        "100%",
        "~",
    ],
)
def test_a_resolved_config_reads_back_as_the_same_values(text):
    cfg = OmegaConf.create({"user": text, "again": "${user}", "list": ["${user}", 3], "none": None})
    values = OmegaConf.to_container(cfg, resolve=True)
    assert OmegaConf.to_container(OmegaConf.create(resolved_yaml(cfg)), resolve=True) == values


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "it's",
        "a\\b",
        "a\\'b",
        "end\\",
        "two\\\\",
        "${x}",
        "\\${x}",
        "$x = ${\\boxed{3}}$",
        "größe #1 {a,b}",
    ],
)
def test_a_quoted_text_is_itself_on_the_command_line(text):
    value = OverridesParser.create().parse_override(f"key={quoted(text)}").value()
    assert OmegaConf.create({"key": value}).key == text


@pytest.mark.parametrize(
    "text", ["plain", "$x = ${\\boxed{3}}$", "${", "${a} \\${b}", "\\\\${x}", "C:\\dir\\"]
)
def test_objects_get_the_texts_that_the_config_has(text):
    """Also where one has an interpolation's sign of its own: it was read as one when the object was made."""
    inner = {"_target_": "builtins.dict", "texts": ["${user}", {"again": "${user}"}]}
    cfg = OmegaConf.create({"user": _literal(text), "made": {"_target_": "builtins.dict", "inner": inner}})
    assert construct(cfg.made) == {"inner": {"texts": [text, {"again": text}]}}
    assert construct(None) is None


def test_within_another_hydra_program_the_config_is_ours_and_within_a_run_the_runs(tmp_path):
    (tmp_path / "train.yaml").write_text("name: theirs\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert composed(["seed=3", "output_dir=."]).seed == 3
        assert composed(["name=mine"], within_run=True).name == "mine"
    assert composed(["seed=4", "output_dir=."], within_run=True).algo.name == "igpo"
    assert composed([], "bench").keys() >= {"model", "sampler"}


def test_threads_compose_one_after_the_other():
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: composed([f"seed={seed}", "output_dir=."]).seed, range(8)))
    assert found == list(range(8))

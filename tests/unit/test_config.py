from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from igpo_lightning.config import _literal, construct, quoted, resolved_yaml


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

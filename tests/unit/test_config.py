from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from igpo_lightning.config import quoted, resolved_yaml


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

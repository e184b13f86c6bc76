from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from igpo_lightning.config import resolved_yaml


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

"""An evaluation that is asked for from Python."""

import pytest
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.evaluation.program import run


@pytest.mark.parametrize("given, message", [
    ({"limit": -1}, "limit=-1: expected a whole number of at least 1"),
    ({"batch_size": 0}, "batch_size=0: expected a whole number of at least 1"),
])  # fmt: skip
def test_sizes_are_checked_without_a_command_line_too(given, message):
    right = {"rescore": None, "model": {"path": "x"}, "benchmark": {"gsm8k": {}}, "limit": 2, "batch_size": 8}
    with pytest.raises(ConfigError, match=message):
        run(OmegaConf.create({**right, **given}))

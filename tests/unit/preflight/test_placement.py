"""What a hardware config means."""

import pytest
import torch
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed, find_conf
from igpo_lightning.preflight.placement import place

BASE = {"accelerator": "gpu", "devices": 2, "num_nodes": 1, "precision": "bf16-mixed", "strategy": "auto"}


def test_every_file_of_conf_hardware_is_understood():
    for file in sorted((find_conf() / "hardware").glob("*.yaml")):
        cfg = composed([f"hardware={file.stem}"])
        place(OmegaConf.to_container(cfg.hardware, resolve=True))


@pytest.mark.parametrize("strategy, stage, deepspeed, cast", [
    ("auto", 0, False, None),
    ("ddp", 0, False, None),
    ("deepspeed_stage_2", 2, True, torch.bfloat16),
    ("deepspeed_stage_3_offload", 3, True, torch.bfloat16),
    ("fsdp", 3, False, None),
])  # fmt: skip
def test_strategies(strategy, stage, deepspeed, cast):
    found = place({**BASE, "strategy": strategy})
    assert (found.stage, found.deepspeed, found.cast) == (stage, deepspeed, cast)
    assert found.autocast == (None if deepspeed else torch.bfloat16)
    assert found.offload_parameters == strategy.endswith("offload")


@pytest.mark.parametrize("devices, world", [(3, 6), ("3", 6), ("0,2", 4), ([0, 1, 5], 6)])
def test_devices_of_all_nodes(devices, world):
    assert place({**BASE, "devices": devices, "num_nodes": 2}).world == world


def test_devices_that_can_not_be_counted_here_are_assumed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    found = place({**BASE, "devices": "auto"})
    assert found.assumed and found.world == 8


@pytest.mark.parametrize("changes, message", [
    ({"strategy": "zero9"}, "hardware.strategy=zero9"), ({"precision": "bf17"}, "hardware.precision=bf17"),
])  # fmt: skip
def test_unknown_names(changes, message):
    with pytest.raises(ConfigError, match=message):
        place({**BASE, **changes})

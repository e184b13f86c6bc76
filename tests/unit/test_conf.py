from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from igpo_lightning.config import find_conf

CONF = Path(__file__).resolve().parents[2] / "conf"
HARDWARE = sorted(path.stem for path in (CONF / "hardware").glob("*.yaml"))


def test_the_tree_in_the_package_wins_over_the_one_beside_it(tmp_path):
    package = tmp_path / "package"
    for folder in (package / "conf", tmp_path / "conf"):
        folder.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no train\.yaml"):
        find_conf(package)
    (tmp_path / "conf" / "train.yaml").touch()
    assert find_conf(package) == tmp_path / "conf"
    (package / "conf" / "train.yaml").touch()
    assert find_conf(package) == package / "conf"


def test_all_hardware_is_there():
    assert HARDWARE == ["cpu", "cpu_ddp", "ddp", "gpu", "zero2", "zero3"]


@pytest.mark.parametrize("name", HARDWARE)
def test_hardware_is_arguments_of_the_trainer(name):
    from lightning import Trainer

    arguments = OmegaConf.load(CONF / "hardware" / f"{name}.yaml")
    assert set(arguments) == {"accelerator", "devices", "num_nodes", "precision", "strategy"}
    assert set(arguments) <= set(inspect.signature(Trainer.__init__).parameters)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("cpu_ddp", "DDPStrategy"), ("ddp", "DDPStrategy"),
     ("zero2", "DeepSpeedStrategy"), ("zero3", "DeepSpeedStrategy")],
)  # fmt: skip
def test_strategies_can_be_built(name, strategy):
    built = instantiate(OmegaConf.load(CONF / "hardware" / f"{name}.yaml"), _convert_="all")["strategy"]
    assert type(built).__name__ == strategy
    if name.startswith("zero"):
        assert built.config["zero_optimization"]["stage"] == int(name[-1])


def test_cpu_arguments_make_a_trainer(tmp_path):
    from lightning import Trainer

    arguments = instantiate(OmegaConf.load(CONF / "hardware" / "cpu.yaml"), _convert_="all")
    trainer = Trainer(
        **arguments, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    assert trainer.num_devices == 1
    assert trainer.precision == "32-true"

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from igpo_lightning.config import composed, find_conf
from igpo_lightning.hardware import trainer_options

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


def hardware(name):
    """The group's option as it is composed."""
    return composed([f"hardware={name}"]).hardware


def test_all_hardware_is_there():
    assert [name for name in HARDWARE if not name.startswith("slurm_")] == [
        *("cpu", "cpu_ddp", "ddp", "fsdp", "gpu", "zero1", "zero2", "zero3", "zero3_offload"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", HARDWARE)
def test_hardware_is_arguments_of_the_trainer(name):
    from lightning import Trainer

    arguments = set(hardware(name)) - {"threads"}  # which are for PyTorch
    assert arguments - {"plugins"} == {"accelerator", "devices", "num_nodes", "precision", "strategy"}
    assert arguments <= set(inspect.signature(Trainer.__init__).parameters)


@pytest.mark.parametrize(
    ("name", "strategy"),
    [("cpu_ddp", "DDPStrategy"), ("ddp", "DDPStrategy"),
     ("zero1", "DeepSpeedStrategy"), ("zero2", "DeepSpeedStrategy"), ("zero3", "DeepSpeedStrategy"),
     ("zero3_offload", "DeepSpeedStrategy"), ("fsdp", "FullySharded")],
)  # fmt: skip
def test_strategies_can_be_built(name, strategy):
    built = instantiate(hardware(name), _convert_="all")["strategy"]
    assert type(built).__name__ == strategy
    if name.startswith("zero"):
        zero = built.config["zero_optimization"]
        assert zero["stage"] == int(name[4])
        assert ("offload_param" in zero) == ("offload_optimizer" in zero) == name.endswith("offload")


@pytest.mark.parametrize("name", [name for name in HARDWARE if name.startswith("slurm_")])
def test_slurm_takes_its_numbers_from_the_job(monkeypatch, name):
    monkeypatch.setenv("SLURM_NNODES", "8")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    built = instantiate(hardware(name), _convert_="all")
    assert (built["num_nodes"], built["devices"]) == (8, 4)
    assert type(built["plugins"]).__name__ == "SLURMEnvironment" and not built["plugins"].auto_requeue


def test_cpu_arguments_make_a_trainer(tmp_path):
    from lightning import Trainer

    options = trainer_options(OmegaConf.load(CONF / "hardware" / "cpu.yaml"))
    trainer = Trainer(
        **options, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    assert trainer.num_devices == 1
    assert trainer.precision == "32-true"

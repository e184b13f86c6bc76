import pytest
import torch
from fakes import compose
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.evaluation.program import run as evaluate
from igpo_lightning.hardware import check_gpus, trainer_options, use_threads


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.get_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("hardware", ["cpu", "cpu_ddp"])
def test_the_toy_runs_on_one_thread_and_larger_models_on_all(tmp_path, hardware):
    toy = compose(tmp_path, f"hardware={hardware}", "model=tiny")
    assert toy.hardware.threads == 1
    assert compose(tmp_path, f"hardware={hardware}", "~model.threads").hardware.threads is None
    assert compose(tmp_path, f"hardware={hardware}", "hardware.threads=6").hardware.threads == 6


def test_threads_are_for_pytorch_and_all_else_for_the_trainer(threads):
    hardware = OmegaConf.create({"accelerator": "cpu", "devices": 1, "threads": 3})
    use_threads(hardware)
    assert threads() == 3
    assert trainer_options(hardware) == {"accelerator": "cpu", "devices": 1}
    use_threads(OmegaConf.create({"threads": None}))
    use_threads(OmegaConf.create({"accelerator": "gpu"}))
    assert threads() == 3
    with pytest.raises(ConfigError, match=r"hardware\.threads=0: expected a whole number of at least 1"):
        use_threads(OmegaConf.create({"threads": 0}))


@pytest.mark.parametrize("accelerator", ["gpu", "cuda", "mps"])
def test_gpus_that_are_not_there_are_refused(monkeypatch, accelerator):
    for name in ("cuda", "backends.mps"):
        monkeypatch.setattr(f"torch.{name}.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"hardware: it asks for GPUs, and there is none here; choose hard"):
        check_gpus({"accelerator": accelerator})
    check_gpus({"accelerator": "auto"})


def test_an_evaluation_asks_for_its_gpus_first(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "config.json").touch()
    for hardware in ("gpu", "ddp"):
        cfg = composed([f"hardware={hardware}", f"model.path={tmp_path}"], "evaluate")
        with pytest.raises(ConfigError, match="hardware: it asks for GPUs"):
            evaluate(cfg)

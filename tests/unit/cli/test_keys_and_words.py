"""Paths and names that YAML reads as something else, and values that are none."""

from __future__ import annotations

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.values import is_path


@pytest.fixture
def paths_tree(conf_tree):
    with (conf_tree / "train.yaml").open("a") as file:
        file.write("model: {path: null, revision: null, devices: auto}\nhome: {dir: ~/data}\n")
    (conf_tree / "experiment" / "number.yaml").write_text("# @package _global_\nmodel: {path: 77}\n")
    return conf_tree


@pytest.mark.parametrize(
    ("override", "value"),
    [("model.path=77", "77"), ("model.path=1e2", "1e2"), ("model.path=007", "007"), ("model.path=off", "off"),
     ("model.path=1_000", "1_000"), ("model.path=True", "True"), ("model.path='8'", "8"),
     ("model.revision=1234567", "1234567"), ("++model.path=2.50", "2.50")],
)  # fmt: skip
def test_a_number_is_a_name_where_a_name_belongs(paths_tree, override, value):
    line = check_command_line(paths_tree, "train", [override])
    assert line.cfg.model[override.partition("=")[0].rpartition(".")[2]] == value
    assert check_command_line(paths_tree, "train", line.overrides).overrides == line.overrides


def test_a_number_stays_one_elsewhere(paths_tree):
    cfg = check_command_line(paths_tree, "train", ["seed=8", "model.devices=2", "algo.kl=1"]).cfg
    assert (cfg.seed, cfg.model.devices, cfg.algo.kl) == (8, 2, 1)
    assert check_command_line(paths_tree, "train", ["name=8"]).cfg.name == "8"


def test_each_value_of_a_sweep_is_a_name(paths_tree):
    line = check_command_line(paths_tree, "train", ["model.path=77,1e2,x"], multirun=True)
    assert (line.cfg.model.path, line.swept) == ("77", {"model.path": 3})


def test_a_number_in_a_file_is_refused(paths_tree):
    with pytest.raises(ConfigError, match=r"model\.path=77: expected a path or a name; .* quote it: '77'"):
        check_command_line(paths_tree, "train", ["experiment=number"])


@pytest.mark.parametrize("override", ["seed=null", "verbose=null", "output_dir=null", "data=null", "~data"])
def test_nothing_where_something_is_needed_is_refused(paths_tree, override):
    with pytest.raises(ConfigError, match=override.strip("~").partition("=")[0]):
        check_command_line(paths_tree, "train", [override])


def test_what_is_a_path():
    for key in ("output_dir", "model.path", "data.train_path", "sweep_dir", "hydra.run.dir", "resume", "run"):
        assert is_path(key), key
    for key in (
        "seed",
        "logger.wandb.resume",
        "callbacks.checkpoint.keep",
        "data.source.people",
        "hydra.run",
    ):
        assert not is_path(key), key

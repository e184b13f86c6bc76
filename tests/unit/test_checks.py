from __future__ import annotations

import re

import pytest
from omegaconf import OmegaConf

from igpo_lightning.checks import (
    ConfigError,
    betas,
    check_config,
    data_source,
    denoising_schedule,
    devices,
    existing_path,
    fraction,
    interval,
    model_source,
    num_generations,
    positive_int,
    strategy,
    template,
    writable_folder,
)


def test_a_schedule_is_blocks_and_steps_per_block():
    assert denoising_schedule(256, 32, 128) == (8, 16)
    assert denoising_schedule(48, 48, 48) == (1, 48)
    assert denoising_schedule(64, 16, 4) == (4, 1)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ((256, 30, 128), r"sampler\.block_length=30: must divide sampler\.length=256; nearest: 16 or 32"),
        ((256, 512, 128), r"block_length=512: must divide sampler\.length=256; nearest: 256$"),
        ((256, 32, 100), r"sampler\.steps=100: must be a multiple of the 8 blocks .* nearest: 96 or 104"),
        ((256, 32, 4), r"steps=4: .* nearest: 8$"),
        ((64, 32, 66), r"steps=66: .* and at most sampler\.length; nearest: 64$"),
        ((0, 32, 66), r"sampler\.length=0: expected a whole number of at least 1"),
        ((64, 32.0, 64), r"sampler\.block_length=32\.0: expected a whole number"),
    ],
)
def test_an_impossible_schedule_names_the_nearest_possible(schedule, message):
    with pytest.raises(ConfigError, match=message):
        denoising_schedule(*schedule)


def test_num_generations():
    assert num_generations(2) == 2
    with pytest.raises(ConfigError, match=r"algo\.num_generations=1: .* at least 2"):
        num_generations(1)


@pytest.mark.parametrize("value", [-0.1, 1.1, "half", True, float("nan"), None])
def test_not_a_fraction(value):
    with pytest.raises(ConfigError, match=r"^f=.*from 0 to 1"):
        fraction("f", value)


def test_fractions_and_counts():
    assert fraction("f", 1) == 1.0
    assert positive_int("n", 3) == 3
    for value in (0, -1, 1.0, True, "3"):
        with pytest.raises(ConfigError, match=f"^n={value}: expected a whole number"):
            positive_int("n", value)


def test_intervals():
    assert interval("r", [0.2, 0.6], 0, 1) == (0.2, 0.6)
    assert interval("r", 0.5, 0, 1) == (0.5, 0.5)
    assert interval("c", (5, 10), 1, integer=True) == (5, 10)
    with pytest.raises(ConfigError, match=r"r=\[0\.6,0\.2\]: .* did you mean \[0\.2,0\.6\]"):
        interval("r", [0.6, 0.2], 0, 1)


@pytest.mark.parametrize("value", [[0.2], [0.2, 1.2], [-1, 0], "ab", [0, 0.5, 1], 2, ["0", "1"]])
def test_not_an_interval(value):
    with pytest.raises(ConfigError, match=r"^r=.*each at least 0 and at most 1"):
        interval("r", value, 0, 1)


@pytest.mark.parametrize("value", [[0, 5], [1.5, 2], 0])
def test_not_an_interval_of_whole_numbers(value):
    with pytest.raises(ConfigError, match=r"^c=.*one whole number, each at least 1$"):
        interval("c", value, 1, integer=True)


def test_paths(tmp_path):
    assert existing_path("data.path", str(tmp_path)) == tmp_path
    with pytest.raises(ConfigError, match=f"data.path={tmp_path}/a/b: .*exists is {tmp_path}"):
        existing_path("data.path", tmp_path / "a" / "b")


@pytest.mark.parametrize("below", ["", "a", "a/b"])
def test_a_link_that_leads_nowhere_is_told_from_a_file(tmp_path, below):
    (tmp_path / "runs").symlink_to("another-disk/runs")
    folder = tmp_path / "runs" / below
    said = f"sweep_dir={folder}: {tmp_path}/runs is a link to another-disk/runs, which is not there"
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        writable_folder("sweep_dir", folder)
    (tmp_path / "another-disk" / "runs").mkdir(parents=True)
    assert writable_folder("sweep_dir", folder) == folder


@pytest.mark.parametrize("value", [2024, 1.5, True, False, "", "  "])
def test_what_is_no_path_is_refused_with_its_key(value):
    for check in (existing_path, writable_folder, data_source, model_source):
        with pytest.raises(ConfigError, match=r"^data\.path(=|:).*expected a path or a name"):
            check("data.path", value)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "set.jsonl").touch()
    assert existing_path("data.path", "~/set.jsonl") == tmp_path / "set.jsonl"
    assert data_source("data.path", "~/set.jsonl") == "~/set.jsonl"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (betas, [[0.9, 0.95], [0, 0.5]], [0.9, [0.9], [0.9, 1], [0.9, "x"], [0.9, 0.9, 0.9]]),
        (strategy, ["auto", "ddp", "deepspeed_stage_2", {"_target_": "x.Y"}], ["ddpp", "zero2", ""]),
        (template, ["text"], [None, 3]),
    ],
)  # fmt: skip
def test_settings_of_lightning_and_torch(check, good, bad):
    for value in good:
        assert check("k", value) == value
    for value in bad:
        with pytest.raises(ConfigError, match=r"^k[=:]"):
            check("k", value)


def test_a_template_holds_its_fields():
    assert template("prompt.user", "{question}!", "{question}") == "{question}!"
    with pytest.raises(ConfigError, match=r"rules\.user: it must contain \{trace\}"):
        template("rules.user", "{question}", "{question}", "{trace}")


def test_model_sources(tmp_path):
    (tmp_path / "config.json").touch()
    (tmp_path / "empty").mkdir()
    for name, file in (("whole", "config.json"), ("lora", "adapter_config.json")):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / file).touch()
    for source in (str(tmp_path), "GSAI-ML/LLaDA-8B-Instruct", "gpt2"):
        assert model_source("model.path", source) == source
    for source, why in {
        f"{tmp_path}/config.json": "is a file",
        f"{tmp_path}/empty": "no config.json",
        f"{tmp_path}/whole": f"holds no model; that of this run is {tmp_path}/whole/model",
        f"{tmp_path}/lora": f"holds no model; that of this run is {tmp_path}/lora/model",
        f"{tmp_path}/absent": "no such folder",
        "../absent": "no such folder",
        "a/b/c": "not a hub id",
    }.items():
        with pytest.raises(ConfigError, match=why):
            model_source("model.path", source)


def test_devices():
    for value in (1, 8, -1, "auto", "0,1", "2", [0, 3]):
        assert devices("hardware.devices", value) == value
    for value in (0, -2, 1.5, "many", [], [-1], True):
        with pytest.raises(ConfigError, match=r"hardware\.devices=.*expected a count"):
            devices("hardware.devices", value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampler": {"steps": 33}}, "sampler.steps=33"),
        ({"algo": {"num_generations": 1}}, "algo.num_generations=1"),
        ({"algo": {"num_iterations": 0}}, "algo.num_iterations=0"),
        ({"algo": {"inpaint": {"ratio": [0.2, 2]}}}, r"algo.inpaint.ratio=\[0.2,2\]"),
        ({"algo": {"inpaint": {"replace": 1.5}}}, "algo.inpaint.replace=1.5"),
        ({"algo": {"inpaint": {"chunk": [0, 10]}}}, r"algo.inpaint.chunk=\[0,10\]"),
        (
            {"algo": {"token_filter": {"top_entropy_quantile": 20}}},
            "algo.token_filter.top_entropy_quantile=20",
        ),
        ({"data": {"path": "/nowhere/at/all"}}, "data.path=/nowhere/at/all"),
        ({"model": {"path": "/nowhere"}}, "model.path=/nowhere"),
        ({"hardware": {"devices": 0}}, "hardware.devices=0"),
    ],
)
def test_a_config_is_checked_key_by_key(change, message):
    good = OmegaConf.create(
        {
            "sampler": {"length": 64, "block_length": 16, "steps": 32},
            "algo": {"num_generations": 8, "inpaint": {"ratio": [0.2, 0.6], "chunk": [5, 10]}},
            "model": {"path": None},
            "output": "${no_such_resolver:1}",
        }
    )
    check_config(good)
    with pytest.raises(ConfigError, match=message):
        check_config(OmegaConf.merge(good, change))


def test_an_empty_config_has_nothing_to_check():
    check_config(OmegaConf.create({"algo": {"inpaint": None}}))


@pytest.mark.parametrize("entry", ["1", "{every: 3}", "[1]", "true"])
@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_what_is_no_object_is_no_callback(group, entry):
    cfg = OmegaConf.create(f"{group}: {{mine: {entry}, none: null, fine: {{_target_: a.B}}}}")
    with pytest.raises(ConfigError, match=rf"^{group}\.mine: expected an object with a _target_, or null"):
        check_config(cfg)

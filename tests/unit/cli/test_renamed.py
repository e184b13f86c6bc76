"""Keys of earlier versions are refused with their names now, wherever they stand."""

from __future__ import annotations

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.habits import RENAMED
from igpo_lightning.cli.line import check_command_line


@pytest.fixture
def renamed_tree(conf_tree, monkeypatch):
    monkeypatch.setitem(RENAMED, "algo.size", "algo.num_generations")
    monkeypatch.setitem(RENAMED, "algo.fill", "algo.inpaint")
    monkeypatch.setitem(RENAMED, "algo/logps", "algo/logprobs")
    for name, text in {"old": "algo: {size: 4}", "refers": "seed: ${algo.size}"}.items():
        (conf_tree / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    return conf_tree


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["algo.size=4"], "algo.size: is now algo.num_generations"),
        (["+algo.size=4"], "algo.size: is now algo.num_generations"),
        (["~algo.size"], "algo.size: is now algo.num_generations"),
        (["algo.fill.ratio=[0.1,0.2]"], "algo.fill.ratio: is now algo.inpaint.ratio"),
        (["algo/logps=mean_field"], "algo/logps: is now algo/logprobs"),
        (["experiment=old"], "algo.size: is now algo.num_generations"),
        (["experiment=refers"], "algo.size: is now algo.num_generations"),
        (["seed=${algo.size}"], "algo.size: is now algo.num_generations"),
    ],
)
def test_an_old_key_is_refused_with_the_new_one(renamed_tree, overrides, message):
    with pytest.raises(ConfigError) as caught:
        check_command_line(renamed_tree, "train", overrides)
    assert str(caught.value) == message


def test_a_key_that_only_begins_like_an_old_one_passes(renamed_tree):
    line = ["+algo.size_of_all=4", "algo.num_generations=${algo.size_of_all}"]
    assert check_command_line(renamed_tree, "train", line).cfg.algo.num_generations == 4

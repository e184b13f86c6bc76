"""Names of other trainers: each leads to a key that the composed configs have today."""

from __future__ import annotations

from functools import cache

import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.habits import HABITS, keys_of
from igpo_lightning.cli.help import USUAL_KEYS
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.plain import lookup
from igpo_lightning.cli.tree import open_tree
from igpo_lightning.config import find_conf

PROGRAMS = {
    "train": (["model=llada", "logger=all"], ["algo=sft"], ["data=jsonl"]),
    "evaluate": ([],),
    "rewrite": ([],),
    "export": ([],),
    "bench": ([],),
    "sample": ([],),
}


@cache
def configs() -> list[tuple[dict, set[str]]]:
    """(flat config, its groups) of every program, with the choices that bring keys of their own."""
    found = []
    for program, choices in PROGRAMS.items():
        with open_tree(find_conf(), program) as tree:
            for texts in choices:
                found.append((tree.compose(texts).flat, set(tree.groups())))
    return found


def exists(key: str) -> bool:
    for flat, groups in configs():
        try:
            lookup(flat, key)
            return True
        except KeyError:
            if key in groups:
                return True
    return False


@pytest.mark.parametrize("key", sorted({key for keys in HABITS.values() for key in keys} | set(USUAL_KEYS)))
def test_every_suggested_key_exists(key):
    assert exists(key)


@pytest.mark.parametrize(
    ("program", "line", "key"),
    [
        ("train", "learning_rate=1e-5", "algo.optimizer.lr"),
        ("train", "optim.lr=1e-5", "algo.optimizer.lr"),
        ("train", "trainer.max_epochs=2", "algo."),
        ("train", "training_args.num_train_epochs=2", "algo."),
        ("train", "num_generations=4", "algo.num_generations"),
        ("train", "trainer.gpus=4", "hardware.devices"),
        ("train", "gpu=true", "hardware=…, one of cpu"),
        ("train", "model_name_or_path=x", "model.path"),
        ("train", "beta=0.1", "algo.loss.beta"),
        ("train", "remasking=random", "sampler/order=…, one of drawn_probability"),
        ("train", "threshold=0.9", "sampler/acceptance=…, one of budget"),
        ("train", "use_cache=true", "sampler.cache"),
        ("train", "save_steps=5", "callbacks.checkpoint.every"),
        ("train", "dataset=x", "data=…, one of code"),
        ("train", "+algo.trainer.max_steps=4", "algo."),
        ("evaluate", "tasks=gsm8k", "benchmark=…, one of amc"),
        ("evaluate", "checkpoint=x", "model.path"),
        ("rewrite", "model=gpt", "rewriter.model"),
        ("rewrite", "url=x", "rewriter.base_url"),
    ],
)
def test_a_habit_is_answered_with_the_key(program, line, key):
    with pytest.raises(ConfigError) as caught:
        check_command_line(find_conf(), program, [line])
    assert f"here it is {key}" in str(caught.value)


def test_prefixes_dashes_and_case_do_not_matter():
    assert keys_of("trainer.Max-Epochs") == keys_of("max_epochs") != ()
    assert keys_of("no.such.name") == ()

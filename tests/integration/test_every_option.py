"""Every file of ``conf/algo/*/``, ``conf/sampler``, ``conf/reward``, ``conf/experiment`` trains, at toy size.

They are found by their names, so a new file is tested without a word here.
"""

from __future__ import annotations

import functools

import pytest
import yaml
from fakes import TINY_RL, compose
from lightning.pytorch import Callback
from omegaconf import open_dict

from igpo_lightning.config import find_conf
from igpo_lightning.training.run import build

CONF = find_conf()
PIECES = [(file.parent.name, file.stem) for file in sorted(CONF.glob("algo/*/*.yaml"))]
TOY = ["model=tiny", "data=word_problems", "hardware=cpu", "evaluate=false"]
OF_TASKS = {"code", "countdown", "llm_judge", "sudoku"}  # rewards for data of their own: test_tasks.py
ONE_ROLLOUT = [*TINY_RL, "algo.rollouts=1", "algo.prompts_per_micro_batch=4", "algo.optimizer.weight_decay=0"]
SFT = ["algo.steps=2", "algo.batch_size=4", "algo.rows_per_micro_batch=4", "algo.validate_every=2"]


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


@functools.cache
def algorithms_with(piece: str) -> dict[str, str]:
    """Option of a group of ``conf/algo`` → an algorithm that is made with it, and so fits it."""
    found = {}
    for name in options("algo"):
        for entry in yaml.safe_load((CONF / "algo" / f"{name}.yaml").read_text()).get("defaults", ()):
            if isinstance(entry, dict):
                (group, option), *_ = entry.items()
                if group.removeprefix("override ") == piece:
                    found.setdefault(option, name)
    return found


class Reached(Callback):
    """Notes whether any weight was given a gradient."""

    gradient = False

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.gradient |= any(p.grad is not None and bool(p.grad.any()) for p in module.parameters())


def trained(cfg):
    """Fit the stage of ``cfg``; returns the number of updates, and whether they had a gradient."""
    reached = Reached()
    module, data, trainer = build(cfg)
    trainer.callbacks.append(reached)
    trainer.fit(module, datamodule=data)
    assert trainer.global_step == data.updates
    assert all(weight.isfinite().all() for weight in module.parameters())
    return trainer.global_step, reached.gradient


def with_signal(cfg):
    """``cfg`` with a reward that calls some texts of an untrained model correct."""
    with open_dict(cfg):
        cfg.reward = {"_target_": "fakes.HashReward", "share": 0.3}
    return cfg


@pytest.mark.parametrize(("piece", "option"), [
    # What an algorithm is made with runs with it, in test_algorithms.py.
    pytest.param(*pair, marks=pytest.mark.slow) if pair[1] in algorithms_with(pair[0]) else pair
    for pair in PIECES
], ids=lambda name: name)  # fmt: skip
def test_piece_of_an_algorithm(tmp_path, piece, option):
    algorithm = algorithms_with(piece).get(option, "igpo")
    cfg = compose(tmp_path, f"algo={algorithm}", f"algo/{piece}={option}", *TOY, *ONE_ROLLOUT)
    assert trained(with_signal(cfg)) == (cfg.algo.num_iterations, True)


@pytest.mark.parametrize("name", options("sampler"))
def test_sampler(tmp_path, name):
    cfg = compose(tmp_path, "algo=igpo", f"sampler={name}", *TOY, *ONE_ROLLOUT)
    updates, reached = trained(with_signal(cfg))
    assert updates == 2
    assert reached or not cfg.sampler.temperature  # without noise, groups are alike and teach nothing


@pytest.mark.parametrize("name", sorted({*options("reward")} - OF_TASKS))
def test_reward(tmp_path, name):
    assert trained(compose(tmp_path, "algo=igpo", f"reward={name}", *TOY, *ONE_ROLLOUT))[0] == 2


@pytest.mark.parametrize("name", options("experiment"))
def test_experiment(tmp_path, name):
    recipe = [f"experiment={name}", *TOY]
    is_sft = "steps" in compose(tmp_path, *recipe).algo
    updates, reached = trained(with_signal(compose(tmp_path, *recipe, *(SFT if is_sft else ONE_ROLLOUT))))
    assert updates == 2 and reached

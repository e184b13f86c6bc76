"""Every file of conf/algo trains, at toy size; a new one is tested by being there."""

import inspect
import re

import pytest
import torch
from fakes import TINY_RL, compose, rollout_batch, tiny_policy, weights
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict

from igpo_lightning.algos import logprobs, losses
from igpo_lightning.checks import check_config
from igpo_lightning.config import find_conf
from igpo_lightning.preflight.work import of_estimate
from igpo_lightning.seeding import torch_rng
from igpo_lightning.training.run import build

ALGO = find_conf() / "algo"
NAMES = sorted(path.stem for path in ALGO.glob("*.yaml"))
SMALL = {
    "sft": ["algo.steps=2", "algo.batch_size=4", "algo.rows_per_micro_batch=4", "algo.scheduler.warmup=0"],
}
RL = [*TINY_RL, "algo.rollouts=1", "algo.prompts_per_rollout=2", "algo.draws_per_micro_batch=null"]
TOY = OmegaConf.load(find_conf() / "model" / "tiny.yaml").rl
CHANGED = ("lr", "weight_decay", "levels")  # by the test itself
PIECES = ("logprobs", "loss", "advantage", "inpaint", "select", "credit", "token_filter", "reference",
          "optimizer")  # fmt: skip


def configured(folder, name, *more):
    cfg = compose(folder, f"algo={name}", *SMALL.get(name, RL), *more)
    with open_dict(cfg):
        cfg.reward = OmegaConf.create({"_target_": "fakes.HashReward", "share": 0.3})
    return cfg


def read(name, rl=None):
    """``algo`` of a file of policy optimisation, as Hydra composes it, for a model that says ``rl``."""
    chosen, layers = {}, []
    while name:  # from the file itself to grpo
        file = OmegaConf.load(ALGO / f"{name}.yaml")
        name = None
        for entry in file.pop("defaults"):
            if isinstance(entry, str):
                name = name if entry == "_self_" else entry
            else:
                ((group, option),) = entry.items()
                chosen.setdefault(group.removeprefix("override "), option)
        layers.insert(0, file)
    pieces = {group: OmegaConf.load(ALGO / group / f"{option}.yaml") for group, option in chosen.items()}
    sampler = {"block_length": 8, "steps": 4, "length": 16}
    algo = OmegaConf.merge(OmegaConf.create(pieces), *layers)
    return OmegaConf.create({"algo": algo, "model": {"rl": rl or {}}, "sampler": sampler}).algo


@pytest.mark.parametrize("name", [
    # A cross is two algorithms, each of which is run by itself.
    pytest.param(name, marks=pytest.mark.slow) if name.startswith("igpo_") else name for name in NAMES
])  # fmt: skip
def test_each_trains(tmp_path, name):
    small = ["algo.optimizer.lr=1e-2", "algo.optimizer.weight_decay=0", "seed=1"]
    if name != "sft" and read(name).logprobs.get("levels", 0) > 4:
        small.append("algo.logprobs.levels=4")
    cfg = configured(tmp_path, name, *small)
    module, data, fit = build(cfg)
    before = weights(module.policy)
    fit.fit(module, datamodule=data)
    after = weights(module.policy)
    assert fit.global_step == data.updates == 2
    assert after.isfinite().all() and (after - before).abs().max() > 1e-3  # without decay: it has learnt
    assert cfg.algo.name == name
    if name != "sft":
        assert fit.callback_metrics["rollout/drift_max"] == 0  # old log-probs are those of the first update
        # This file's own reader reads what Hydra does.
        toy = read(name, TOY)
        for group in PIECES:
            assert set(toy[group]) == set(cfg.algo[group])
            assert {k: toy[group][k] for k in toy[group] if k not in CHANGED} == {
                k: v for k, v in cfg.algo[group].items() if k not in CHANGED
            }


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line_takes_each(tmp_path, name):
    check_config(compose(tmp_path, f"algo={name}"))


@pytest.mark.parametrize("name", NAMES)
def test_each_is_short(name):
    whole = {"grpo", "sft"}  # which build on nothing
    assert name in whole or len((ALGO / f"{name}.yaml").read_text().splitlines()) <= 40


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SMALL])
def test_what_a_model_says_wins_over_the_papers_values(name):
    """The toy's rates and sizes reach every algorithm."""
    algo = read(name, TOY)
    assert (algo.optimizer.lr, algo.num_generations, algo.num_iterations) == (1e-3, 4, 2)
    assert (algo.updates_per_iteration, algo.prompts_per_micro_batch, algo.scheduler.final) == (1, 64, 0.0)


# Of each paper, or its code: the rate, G, μ, and what tells its loss.
PAPERS = {
    "dapo": (1e-6, 16, 1, {"epsilon": 0.2, "epsilon_high": 0.28, "beta": 0.0, "loss_type": "dapo"}),
    "gspo": (5e-7, 8, 1, {"epsilon": 3e-4, "epsilon_high": 4e-4, "importance_sampling_level": "sequence"}),
    "diffu_grpo": (3e-6, 6, 12, {"epsilon": 0.5, "beta": 0.04, "importance_sampling_level": "token"}),
    "coupled_grpo": (1e-6, 10, 2, {"epsilon": 0.5, "beta": 0.01, "combine_draws": True}),
    "wd1": (3e-6, 6, 12, {"temperature": 1.0, "negative": 1.0}),
    "spg": (3e-6, 6, 4, {"mix": 0.5, "power": 1.5, "weight_clip": None}),
    "stable_drl": (2e-6, 16, 2, {"mix": 0.5, "power": 1.5, "weight_clip": 5.0}),
    "espo": (3e-6, 6, 8, {"epsilon": 0.2, "beta": 1e-3, "kl_estimator": "k2", "kl_level": "sequence"}),
    "gdpo": (3e-7, 6, 12, {"epsilon": 0.5, "beta": 0.0, "importance_sampling_level": "sequence"}),
    "bgpo": (5e-7, 8, 1, {"epsilon": 0.2, "beta": 0.0, "dual_clip": 3.0}),
    "tracerl": (1e-6, 8, 1, {"epsilon": 0.2, "beta": 0.01, "kl_to": "old"}),
    "d2": (3e-6, 6, 12, {"epsilon": 0.5, "beta": 0.04}),
    "cj_grpo": (3e-6, 6, 12, {"epsilon": 0.5, "beta": 0.04}),
    "justgrpo": (5e-6, 16, 1, {"epsilon": 0.2, "beta": 0.0, "loss_type": "dr_grpo"}),
    "dmpo": (1e-6, 16, 8, {"temperature": 0.04, "tilted": True, "per_token": True}),
    "vrpo": (5e-7, 8, 1, {"beta": 0.2}),
    "egspo": (3e-5, 8, 1, {"epsilon": 0.2, "epsilon_high": 0.5, "beta": 0.04, "kl_level": "step"}),
}


@pytest.mark.parametrize("name", PAPERS)
def test_values_are_the_papers(name):
    """Of a model that says nothing of its own, as LLaDA, and of the same with hints."""
    rate, group, iterations, loss = PAPERS[name]
    for algo in (name, f"igpo_{name}"):
        if algo not in NAMES:
            assert name in ("tracerl", "d2", "cj_grpo", "egspo")  # replay learns nothing from hint tokens
            continue
        cfg = read(algo)
        assert (cfg.optimizer.lr, cfg.num_generations, cfg.num_iterations) == (rate, group, iterations)
        assert {key: cfg.loss[key] for key in loss} == loss
        assert cfg.name == algo


def rows_of(name):
    """Canvases of one prompt and rollout at the paper's sizes: (forward alone, forward and backward)."""
    algo = read(name)
    algo._get_root().sampler = {"block_length": 32, "steps": 128, "length": 256}
    estimator, loss = instantiate(algo.logprobs), instantiate(algo.loss)
    rows = of_estimate(estimator, 1, algo.num_generations, 256).rows
    kept = algo.num_iterations if estimator.renewed else 1
    in_parts = (algo.draws_per_micro_batch or estimator.count(256)) < estimator.count(256)
    present = (algo.num_iterations - 1) * in_parts
    greedy = algo.credit._target_.endswith("GreedyBaseline")
    return (kept * (1 + loss.needs_reference) + present + greedy) * rows, algo.num_iterations * rows


def test_the_table_of_the_documents():
    """docs/algorithms.md names every algorithm, with the G, μ and rows that its config has."""
    text = (ALGO.parents[1] / "docs" / "algorithms.md").read_text(encoding="utf-8")
    found = set()
    for name, sizes, forward, backward, hints in re.findall(
        r"^\| `(\w+)` \|[^|]+\|[^|]+\|[^|]+\| (\d+, \d+) \| ([\d,]+) \| ([\d,]+) \| ([^|]+) \|",
        text,
        re.MULTILINE,
    ):
        algo = read(name)
        assert sizes == f"{algo.num_generations}, {algo.num_iterations}", name
        assert (int(forward.replace(",", "")), int(backward.replace(",", ""))) == rows_of(name), name
        assert hints == (f"`igpo_{name}`" if f"igpo_{name}" in NAMES else "not learnt"), name
        found |= {name, f"igpo_{name}"}
    assert set(NAMES) <= found | {"sft", "grpo", "igpo", "grpo_resample"} and len(found) == 34


def test_every_piece_has_a_config():
    named = {
        OmegaConf.load(path).get("_target_").rpartition(".")[2]
        for folder in ("loss", "logprobs", "advantage")
        for path in (ALGO / folder).glob("*.yaml")
        if path.stem != "by_model"
    }
    plans = {"Draw", "Scored", "LogProbs", "Planned", "LossInputs", "PolicyLoss", "Share"}
    pieces = {
        name
        for room in (logprobs, losses)
        for name in room.__all__
        if inspect.isclass(getattr(room, name)) and name not in plans
    }
    assert pieces <= named and {"LeaveOneOut", "WithSignal", "MeanCentred", "Standardised"} <= named


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SMALL])
def test_hints_are_learnt_except_by_replay(name):
    """A cross with hints only where the estimator scores hint tokens; each token in some of 20 iterations."""
    batch, estimator = rollout_batch(tiny_policy()), instantiate(read(name).logprobs)
    batch.step_map = batch.step_map.masked_fill(batch.hint_mask, -1)
    batch.step_entropy = torch.rand(batch.tokens.shape, generator=torch_rng(0, "nats"))
    draws = [draw for i in range(20 if estimator.renewed else 1) for draw in estimator.draws(batch, i)]
    scored = torch.stack([draw.scored.expand_as(batch.tokens) for draw in draws]).any(0)
    replays = name in ("tracerl", "d2", "cj_grpo", "egspo")
    expected = batch.step_map >= 0 if replays else torch.ones_like(scored)
    if name == "egspo":  # which keeps some steps only
        expected &= scored
    inside = batch.completion_mask
    assert torch.equal(scored & inside, expected & inside) and (inside & batch.hint_mask).any()
    assert not (replays and f"igpo_{name}" in NAMES)


@pytest.mark.parametrize("group", PIECES)
def test_every_option_fits_every_algorithm(group):
    """An option needs no key that only some algorithms have: hints cross freely with all of them."""
    for path in sorted((ALGO / group).glob("*.yaml")):
        for name in ("grpo", "espo"):
            algo = read(name)
            root = algo._get_root()
            root.algo[group] = OmegaConf.load(path)
            assert instantiate(root.algo[group]) is not None, (path, name)


def test_oversampling_ends_with_its_budget(tmp_path):
    more = ["algo/inpaint=oversample", "algo.inpaint.tries=3", "algo.inpaint.completions=2"]
    cfg = configured(tmp_path, "grpo", *more)
    cfg.reward.share = 0.0
    module, data, fit = build(cfg)
    fit.fit(module, datamodule=data)
    found = data.rollout.metrics
    assert found["triggered"] == 2 and found["resampled"] == 2 * 2 * 3 and found["resampled_correct"] == 0
    assert not data.rollout.correct.any()

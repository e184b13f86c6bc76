"""Draws belong to problems: not to batches, ranks, history, or the global generators."""

import random

import numpy as np
import pytest
import torch
from fakes import LORA, encoded, engine, inpaint, rollout_fit, sft_fit, tiny_policy, trainer, weights

from igpo_lightning.algos.logprobs import RandomMasking
from igpo_lightning.evaluation.heldout import HeldOutAccuracy
from igpo_lightning.training.finishing import Finish


def test_a_completion_depends_on_its_problem_only():
    policy = tiny_policy()
    prompts = encoded(policy, 7)
    runs = engine(inpaint=inpaint(), logprobs=RandomMasking())
    whole = runs.run(policy, prompts, 6)
    assert whole.metrics["replaced"] > 0 and whole.metrics["triggered"] < 7
    order = [4, 0, 6]
    part = runs.run(policy, [prompts[i] for i in order], 6)
    for name in ("tokens", "step_map", "hint_mask", "rewards", "correct", "advantages", "loss_mask", "seeds"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[order]), name
    torch.testing.assert_close(part.old_logps, whole.old_logps[order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
def test_the_number_of_rows_in_a_forward_changes_nothing(rows):
    policy = tiny_policy()
    prompts = encoded(policy, 4)
    whole = engine(inpaint=inpaint()).run(policy, prompts, 0)
    parts = engine(inpaint=inpaint(), rows_per_forward=rows).run(policy, prompts, 0)
    assert torch.equal(whole.tokens, parts.tokens)
    assert torch.equal(whole.hint_mask, parts.hint_mask) and torch.equal(whole.rewards, parts.rewards)


def test_another_window_seed_or_completion_is_another_draw():
    policy = tiny_policy()
    prompts = encoded(policy, 2)
    base = engine().run(policy, prompts, 0).tokens
    assert not torch.equal(base, engine().run(policy, prompts, 1).tokens)
    assert not torch.equal(base, engine(seed=1).run(policy, prompts, 0).tokens)
    assert len({tuple(row.tolist()) for row in base.flatten(0, 1)}) == 8
    assert torch.equal(base, engine().run(policy, prompts, 0).tokens)


def global_state():
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), (kind, keys.tolist(), *rest)


@pytest.mark.parametrize("fit", [rollout_fit, sft_fit])
def test_training_leaves_the_global_generators_alone(tmp_path, fit):
    torch.manual_seed(11)
    before = global_state()
    module, data = fit(tiny_policy())
    heldout = HeldOutAccuracy()
    trainer(tmp_path, callbacks=[heldout, Finish(heldout.measure_after)]).fit(module, datamodule=data)
    assert heldout.before.n == heldout.after.n == 4
    assert global_state() == before


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_seed_alone_decides_new_weights(lora):
    torch.manual_seed(1)
    before = global_state()
    first = tiny_policy(seed=3, lora=lora)
    assert global_state() == before
    torch.manual_seed(2)
    assert torch.equal(weights(first), weights(tiny_policy(seed=3, lora=lora)))
    assert not torch.equal(weights(first), weights(tiny_policy(seed=4, lora=lora)))

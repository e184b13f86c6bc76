"""What makes the algorithm right, through the real configuration and Trainer."""

import pytest
import torch
from fakes import LORA, TINY_RL, HashReward, compose, engine, rollout_fit, tiny_policy, trainer, weights
from omegaconf import OmegaConf, open_dict

from igpo_lightning.algos.logprobs import BlockMasking, MeanField, RandomMasking
from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.training import build

ESTIMATORS = [MeanField(), RandomMasking(coupled=True), RandomMasking(coupled=False), BlockMasking(8)]


def run_configured(folder, *overrides):
    """(weights after fitting, all windows) of the configured run of an untrained policy."""
    cfg = compose(folder, *TINY_RL, "algo.windows=3", "algo.optimizer.lr=1e-2", *overrides)
    with open_dict(cfg):
        cfg.reward = OmegaConf.create({"_target_": "fakes.HashReward", "share": 0.2})
    module, data, fit = build(cfg)
    windows = []
    run = data.engine.run
    data.engine.run = lambda *args: windows.append(run(*args)) or windows[-1]
    before = weights(module.policy)
    fit.fit(module, datamodule=data)
    assert fit.global_step == 6
    assert not torch.equal(before, weights(module.policy))
    return weights(module.policy), windows


@pytest.mark.parametrize("estimator", ["MeanField", "RandomMasking"])
def test_igpo_that_replaces_nothing_is_grpo_bit_for_bit(tmp_path, estimator):
    scored = f"algo.logprobs._target_=igpo_lightning.algos.logprobs.{estimator}"
    grpo, plain = run_configured(tmp_path, "algo=grpo", scored)
    igpo, windows = run_configured(tmp_path, "algo=igpo", "algo.inpaint.replace=0", scored)
    assert torch.equal(grpo, igpo)
    assert any(w.metrics["all_wrong_before"] > 0 for w in windows)  # there was something to replace
    for mine, theirs in zip(windows, plain, strict=True):
        assert torch.equal(mine.completions, theirs.completions)
        assert mine.metrics["generated_tokens"] == theirs.metrics["generated_tokens"]
    _, replaced = run_configured(tmp_path, "algo=igpo", "algo.inpaint.replace=0.5", scored)
    assert sum(w.metrics["triggered"] for w in replaced) > 0


class Spy(ClippedSurrogate):
    """A loss that remembers what it was given."""

    def __init__(self, **options):
        super().__init__(kl=0.1, **options)
        self.seen = []

    def __call__(self, inputs):
        loss, metrics = super().__call__(inputs)
        self.seen.append((inputs, metrics))
        return loss, metrics


@pytest.mark.parametrize("per_step", [4, 2, 1])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("logprobs", ESTIMATORS, ids=["mean field", "coupled", "random", "block"])
def test_the_first_pass_has_ratio_one_and_no_divergence(tmp_path, logprobs, lora, per_step):
    loss = Spy(ratio="token")
    sampling = engine(logprobs=logprobs, prompts_per_forward=per_step, reward=HashReward(0.4))
    module, data = rollout_fit(
        tiny_policy(lora=lora), windows=2, per_step=per_step, loss=loss, sampling=sampling, lr=5e-2
    )
    trainer(tmp_path).fit(module, datamodule=data)
    slots = 4 // per_step
    assert len(loss.seen) == 2 * 2 * slots
    for i, (inputs, metrics) in enumerate(loss.seen):
        window, inner = divmod(i // slots, 2)
        same = torch.equal(inputs.logps[inputs.mask], inputs.old_logps[inputs.mask])
        assert same == (inner == 0)
        if inner == 0:
            assert metrics["ratio_max"] == 1 and metrics["clip_fraction"] == 0
        if (window, inner) == (0, 0):
            assert torch.equal(inputs.logps[inputs.mask], inputs.ref_logps[inputs.mask])
            assert metrics["kl"] == 0
        else:
            assert metrics["kl"] > 0


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_rollouts_come_from_the_policy_that_they_update(tmp_path, lora):
    generated, trained = [], []
    module, data = rollout_fit(tiny_policy(lora=lora), windows=3, per_step=2)
    run, step = data.engine.run, module.training_step

    def training_step(batch, batch_idx):
        trained.append((batch.inner, batch.slot, weights(module.policy)))
        return step(batch, batch_idx)

    module.training_step = training_step
    data.engine.run = lambda policy, *args: generated.append(weights(policy)) or run(policy, *args)
    trainer(tmp_path).fit(module, datamodule=data)
    first = [version for inner, slot, version in trained if (inner, slot) == (0, 0)]
    assert len(generated) == len(first) == 3
    for mine, theirs in zip(generated, first, strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(generated[0], generated[1]) and not torch.equal(generated[1], generated[2])
    assert (
        len({hash(tuple(v.tolist())) for _, _, v in trained}) == 6
    )  # one version an update: 3 windows x 2 passes

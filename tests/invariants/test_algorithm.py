"""What makes the algorithm right, through the real configuration and Trainer."""

from functools import partial

import pytest
import torch
from fakes import (
    LORA,
    TINY_RL,
    HashReward,
    compose,
    rollout_batch,
    rollout_fit,
    tiny_policy,
    trainer,
    weights,
)
from omegaconf import OmegaConf, open_dict

from igpo_lightning.algos.logprobs import BlockMasking, LevelMasking, MeanField, RandomMasking
from igpo_lightning.algos.losses import ClippedSurrogate
from igpo_lightning.training.run import build

ESTIMATORS = [MeanField(), RandomMasking(coupled=True), RandomMasking(coupled=False), BlockMasking(8)]


def run_configured(folder, *overrides):
    """(weights after fitting, all rollouts) of the configured run of an untrained policy."""
    cfg = compose(folder, *TINY_RL, "algo.rollouts=3", "algo.optimizer.lr=1e-2", *overrides)
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
        assert torch.equal(mine.tokens, theirs.tokens)
        assert mine.metrics["generated_tokens"] == theirs.metrics["generated_tokens"]
    _, replaced = run_configured(tmp_path, "algo=igpo", "algo.inpaint.replace=0.5", scored)
    assert sum(w.metrics["triggered"] for w in replaced) > 0


class Spy(ClippedSurrogate):
    """A loss that remembers what it was given."""

    def __init__(self, **options):
        super().__init__(beta=0.1, **options)
        self.seen = []

    def __call__(self, x):
        loss, metrics = super().__call__(x)
        self.seen.append((x, metrics))
        return loss, metrics


@pytest.mark.parametrize("per_step", [4, 2, 1])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("logprobs", ESTIMATORS, ids=["mean field", "coupled", "random", "block"])
def test_the_first_pass_has_ratio_one_and_no_divergence(tmp_path, logprobs, lora, per_step):
    loss = Spy()
    changes = {"logprobs": logprobs, "reward": HashReward(0.4), "loss": loss, "lr": 5e-2}
    module, data = rollout_fit(tiny_policy(lora=lora), prompts_per_micro_batch=per_step, **changes)
    trainer(tmp_path).fit(module, datamodule=data)
    slots = 4 // per_step
    assert len(loss.seen) == 2 * 2 * slots
    for i, (inputs, metrics) in enumerate(loss.seen):
        rollout, iteration = divmod(i // slots, 2)
        same = torch.equal(inputs.logps[inputs.mask], inputs.old[inputs.mask])
        assert same == (iteration == 0)
        if iteration == 0:
            assert metrics["ratio_max"] == 1 and metrics["clip_fraction"] == 0
        if (rollout, iteration) == (0, 0):
            assert torch.equal(inputs.logps[inputs.mask], inputs.ref[inputs.mask])
            assert metrics["kl"] == 0
        else:
            assert metrics["kl"] > 0


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_rollouts_come_from_the_policy_that_they_update(tmp_path, lora):
    generated, trained = [], []
    module, data = rollout_fit(tiny_policy(lora=lora), rollouts=3, prompts_per_micro_batch=2)
    run, step = data.engine.run, module.training_step

    def training_step(batch, batch_idx):
        trained.append((batch.first, weights(module.policy)))
        return step(batch, batch_idx)

    module.training_step = training_step
    data.engine.run = lambda policy, *args: generated.append(weights(policy)) or run(policy, *args)
    trainer(tmp_path).fit(module, datamodule=data)
    first = [version for is_first, version in trained if is_first]
    assert len(generated) == len(first) == 3
    for mine, theirs in zip(generated, first, strict=True):
        assert torch.equal(mine, theirs)
    assert not torch.equal(generated[0], generated[1]) and not torch.equal(generated[1], generated[2])
    assert (
        len({hash(tuple(v.tolist())) for _, v in trained}) == 6
    )  # one version an update: 3 rollouts x 2 iterations


@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize("logprobs", [RandomMasking(), BlockMasking(8)], ids=["2 draws", "4 draws"])
@pytest.mark.parametrize("most", [1, 3])
def test_draws_in_micro_batches_of_their_own_give_the_same_run(tmp_path, level, logprobs, most):
    """A sequence's ratio is no sum over draws: its slope is taken first, and sent through draw by draw."""

    def fitted(folder, **changes):
        loss = Spy(importance_sampling_level=level)
        module, data = rollout_fit(
            tiny_policy(), logprobs=logprobs, loss=loss, reward=HashReward(0.4), prompts_per_micro_batch=2,
            optimizer=partial(torch.optim.SGD, lr=0.5), updates_per_iteration=2, **changes,
        )  # fmt: skip
        fit = trainer(folder)
        fit.fit(module, datamodule=data)
        assert fit.global_step == data.updates == 2 * 2 * 2
        return weights(module.policy), [(x, float(metrics["kl"])) for x, metrics in loss.seen]

    (whole, seen), (cut, seen_cut) = fitted(tmp_path), fitted(tmp_path, draws_per_micro_batch=most)
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=1e-4)
    assert (whole - weights(tiny_policy())).abs().max() > 1e-2
    assert [kl for _, kl in seen_cut] == pytest.approx([kl for _, kl in seen], rel=1e-3, abs=1e-7)
    totals = [float(x.update_tokens) for x, _ in seen_cut]
    assert totals == [float(x.mask.sum()) for x, _ in seen_cut]  # each update is one micro-batch of prompts


@pytest.mark.parametrize("weighted", [True, False])
def test_a_loss_knows_the_weight_of_its_update(tmp_path, weighted):
    """Two updates a pass, of two micro-batches each; the tokens' weights are those of an ELBO."""
    loss = Spy(loss_type="dapo")
    logprobs = LevelMasking(3, weight="level") if weighted else LevelMasking(3, weight="one")
    module, data = rollout_fit(
        tiny_policy(), logprobs=logprobs, loss=loss, prompts_per_micro_batch=1, updates_per_iteration=2
    )
    trainer(tmp_path).fit(module, datamodule=data)
    seen = [x for x, _ in loss.seen]
    assert len(seen) == 2 * 2 * 4
    for first, second in zip(seen[::2], seen[1::2], strict=True):
        if not weighted:
            assert first.update_weight is None and first.weight is None
            continue
        whole = sum(float((x.mask * x.weight).sum()) for x in (first, second))
        assert float(first.update_weight) == float(second.update_weight) == pytest.approx(whole)
        assert whole != pytest.approx(float(first.update_tokens))


def test_parts_of_a_micro_batch_share_one_plan_of_draws(tmp_path):
    """To plan them anew for each part would take as long again for each: 16 x 16 plans for 16 draws."""
    planned = []

    class Counting(RandomMasking):
        def draws(self, rollout, iteration):
            planned.append((len(rollout.rewards), iteration))
            return super().draws(rollout, iteration)

    def fitted(folder, **changes):
        planned.clear()
        module, data = rollout_fit(
            tiny_policy(), logprobs=Counting(), prompts_per_micro_batch=2, num_iterations=2, **changes
        )
        trainer(folder).fit(module, datamodule=data)
        return list(planned)

    assert fitted(tmp_path, draws_per_micro_batch=1) == fitted(tmp_path)


def test_memory_of_an_update_does_not_grow_with_the_draws():
    """What autograd keeps for the backward pass, with 4 draws and with 16."""

    def kept(draws, most):
        policy = tiny_policy()
        module, _ = rollout_fit(policy, logprobs=BlockMasking(32 // draws), draws_per_micro_batch=most)
        module.trainer = Steps()
        batch = rollout_batch(policy, logprobs=BlockMasking(32 // draws))
        sizes = []
        parts = module.algorithm.parts_of(batch.draws)
        for part in parts:
            saved = []
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t, saved=saved: saved.append(t.numel()) or t, lambda t: t
            ):
                module.compute_loss(batch.select(slice(None), part=part)).backward()
            sizes.append(sum(saved))
        return max(sizes)

    class Steps:
        global_step, accumulate_grad_batches, world_size = 1, 16, 1

    assert kept(16, None) > 3 * kept(4, None)
    assert kept(16, 1) < 1.3 * kept(4, 1)

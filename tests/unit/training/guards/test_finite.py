import warnings
from types import SimpleNamespace

import pytest
import torch
from fakes import BLOCK, WIDTH, rollout_fit, sft_fit, tiny_policy, trainer, weights
from lightning.pytorch.callbacks import Callback
from sabotage import BadLoss

from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.training.guards import FiniteGuard, GuardStop
from igpo_lightning.types import Scores


def fit(folder, module, data, **options):
    """The guard, and what it said, after a fit of two rollouts of two updates."""
    guard = FiniteGuard(**options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = trainer(folder, callbacks=[guard])
        try:
            run.fit(module, datamodule=data)
        finally:
            said = [str(w.message) for w in caught if "callbacks.finite" in str(w.message)]
    return guard, said


def bad_loss(*calls, prompts=4):
    return rollout_fit(tiny_policy(), prompts_per_micro_batch=prompts, loss=BadLoss(calls))


def test_nothing_is_found_in_a_sound_run(tmp_path):
    guard, said = fit(tmp_path, *rollout_fit(tiny_policy()))
    assert guard.alarms == 0 and said == []


def test_the_loss_of_one_micro_batch(tmp_path):
    module, data = bad_loss(2, prompts=2)  # the first half of update 2
    guard, said = fit(tmp_path, module, data)
    assert said == [
        "warning (callbacks.finite): rollout 1, update 2: NaN or infinity in the loss; the update is dropped"
    ]
    assert guard.alarms == 1 and guard.in_a_row == 0
    assert weights(module.policy).isfinite().all()


def test_a_warning_lets_the_update_happen(tmp_path):
    module, data = bad_loss(1)
    guard, said = fit(tmp_path, module, data, action="warn")
    assert not weights(module.policy).isfinite().all()
    assert "NaN or infinity in the loss" in said[0] and "dropped" not in said[0]
    assert "NaN or infinity in the logits of sampling" in said[1]  # the next rollout is the first to suffer
    assert guard.alarms == 3


def test_patience_ends(tmp_path):
    with pytest.raises(GuardStop, match="rollout 2, update 3: NaN or infinity in the loss"):
        fit(tmp_path, *bad_loss(1, 2), patience=2)
    guard, _ = fit(tmp_path, *bad_loss(0, 2), patience=2)  # not in a row
    assert guard.alarms == 2


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_the_gradient_of_one_parameter(tmp_path, value):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    bad = module.policy.model.model.layers[0].mlp.up_proj.weight
    bad.register_hook(lambda grad: torch.full_like(grad, value))
    _, said = fit(tmp_path, module, data)
    assert "in the gradients of policy.model.model.layers.0.mlp.up_proj.weight;" in said[0]


@pytest.mark.parametrize(
    ("scale", "found"), [(65536.0, None), (1.0, "NaN or infinity in the gradients of weight")]
)
def test_the_search_for_a_scale_of_the_loss_is_no_fault(scale, found):
    """In float16 a scaler drops updates of infinite gradients by itself, until it has found its scale."""
    module = torch.nn.Linear(2, 1, bias=False)
    module.device = module.weight.device
    module.weight.grad = torch.full((1, 2), torch.inf)
    scaler = SimpleNamespace(get_scale=lambda: scale)
    run = SimpleNamespace(precision_plugin=SimpleNamespace(scaler=scaler), world_size=1)
    assert FiniteGuard().inspect_update(run, module) == found


def test_a_large_gradient_is_not_an_infinite_one(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    module.policy.model.lm_head.weight.register_hook(
        lambda grad: grad.sign() * 1e30
    )  # its square is not finite
    guard, _ = fit(tmp_path, module, data)
    assert guard.alarms == 0


def test_a_reward(tmp_path):
    class Broken:
        def __call__(self, problems, completions):
            total = torch.zeros(len(completions))
            total[0] = torch.nan
            return Scores(total, total == 1)

    module, data = rollout_fit(tiny_policy(), rollouts=1, reward=Broken())
    _, said = fit(tmp_path, module, data)
    assert "in the reward;" in said[0]


def test_terms_of_a_reward_are_named(tmp_path):
    class Terms:
        def __call__(self, problems, completions):
            parts = {name: torch.ones(len(completions)) for name in ("fine", "first", "second")}
            parts["first"][0], parts["second"][1] = torch.nan, torch.inf
            total = sum(parts.values())
            return Scores(total, total == 3, parts)

    module, data = rollout_fit(tiny_policy(), rollouts=1, reward=Terms())
    _, said = fit(tmp_path, module, data)
    assert "in the reward term first, second;" in said[0]


def test_old_log_probs_only_where_they_count(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    run = data.engine.run

    def broken(*args):
        rollout = run(*args)
        rollout.old_logps[~rollout.loss_mask] = -torch.inf
        return rollout

    data.engine.run = broken
    assert fit(tmp_path, module, data)[0].alarms == 0
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    data.engine.run = lambda *args: (w := run(*args), w.old_logps.fill_(-torch.inf))[0]
    assert "in the old log-probs;" in fit(tmp_path, module, data)[1][0]


class BrokenSampling(BlockwiseSampler):
    """Nothing is wrong with the network but while a canvas is filled."""

    def __call__(self, policy, *args, **options):
        hook = policy.network.lm_head.register_forward_hook(lambda head, inputs, output: output * torch.nan)
        try:
            return super().__call__(policy, *args, **options)
        finally:
            hook.remove()


@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
def test_logits_of_sampling_of_every_session(tmp_path, cache):
    """A cached one calls the network beneath the policy."""
    sampler = BrokenSampling(WIDTH, BLOCK, 4, 1.0, cache=cache)
    _, said = fit(tmp_path, *rollout_fit(tiny_policy(), rollouts=1, sampler=sampler))
    assert "NaN or infinity in the logits of sampling;" in said[0]


def test_supervised_training(tmp_path):
    module, data = sft_fit(tiny_policy(), steps=2, slots=2)
    module.policy.model.lm_head.weight.register_hook(lambda grad: grad * torch.nan)
    guard, said = fit(tmp_path, module, data)
    bad = "NaN or infinity in the gradients of policy.model.lm_head.weight"
    assert said == [f"warning (callbacks.finite): update 1: {bad}; the update is dropped"]
    assert guard.alarms == 2


def test_minus_infinity_is_a_legal_logit(tmp_path):
    guard = FiniteGuard()
    logits = torch.tensor([[0.0, -torch.inf]])
    guard._see_logits(None, (), logits)
    guard._see_logits(None, (), logits[:0])  # nothing was asked for
    guard._see_logits(None, (), SimpleNamespace(logps=torch.tensor([-1.0])))
    assert not any(mark.isnan() for mark in guard._marks.values())
    guard._see_logits(None, (), torch.tensor([[0.0, torch.inf]]))
    assert guard._marks["logits of training"].isnan()


def test_the_first_cause_and_the_process_where_it_arose(monkeypatch):
    """Process 1 has a bad loss; through the reduction all processes have bad gradients."""
    nan = torch.nan
    marks = torch.tensor([[0, 0, 0, 0, 0, 0, nan], [0, 0, 0, 0, 0, nan, nan]])
    monkeypatch.setattr("igpo_lightning.training.guards.finite.gather", lambda values, device: marks)
    assert FiniteGuard()._culprit("cpu") == ("loss", 1)


class DeepSpeed(Callback):
    """What its engine shows, which is ``trainer.model``: how many updates it has dropped, after each one."""

    def __init__(self, *totals):
        self.totals = totals

    def on_train_batch_end(self, trainer, pl_module, *args):
        pl_module.skipped_steps = self.totals[trainer.global_step - 1]


def test_updates_that_deepspeed_drops_by_itself(tmp_path):
    guard = FiniteGuard(patience=2)
    module, data = rollout_fit(tiny_policy())
    run = trainer(tmp_path, callbacks=[DeepSpeed(1, 1, 2, 3), guard])
    said = "DeepSpeed found NaN or infinity in the gradients"
    with pytest.warns(UserWarning, match=said), pytest.raises(GuardStop, match="stopped after update 4"):
        run.fit(module, datamodule=data)
    assert guard.alarms == 3


def test_an_update_that_deepspeed_drops_for_us_is_one_alarm(tmp_path):
    guard = FiniteGuard()
    module, data = bad_loss(1)
    with pytest.warns(UserWarning, match="in the loss"):
        trainer(tmp_path, callbacks=[DeepSpeed(0, 1, 1, 1), guard]).fit(module, datamodule=data)
    assert guard.alarms == 1

from types import SimpleNamespace

import pytest
import torch
from fakes import rollout_fit, tiny_policy, trainer, weights
from torch import nn

from igpo_lightning.checks import ConfigError
from igpo_lightning.training.optimizers import AdamW, _on_gpus

OPTIONS = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1}


def stepped(weight, optimizer, steps):
    for i in range(steps):
        weight.grad = torch.sin(weight.detach() + i)
        optimizer.step()
    return weight.detach().clone()


def start():
    return nn.Parameter(torch.linspace(-1, 1, 35).view(5, 7))


def test_on_a_cpu_it_is_torchs_own():
    ours, theirs = start(), start()
    found = stepped(ours, AdamW([ours], **OPTIONS), 5)
    assert torch.equal(found, stepped(theirs, torch.optim.AdamW([theirs], **OPTIONS), 5))


@pytest.mark.parametrize("then", [None, True])
@pytest.mark.parametrize("first", [None, True])
def test_a_state_goes_on_with_the_kernel_of_the_one_that_takes_it(first, then):
    whole, half = start(), start()
    expected = stepped(whole, AdamW([whole], **OPTIONS), 6)
    former = AdamW([half], fused=first, **OPTIONS)
    stepped(half, former, 3)
    weight = nn.Parameter(half.detach().clone())
    resumed = AdamW([weight], fused=then, **OPTIONS)
    resumed.load_state_dict(former.state_dict())
    assert resumed.param_groups[0]["fused"] is then and resumed.state[weight]["step"] == 3
    for i in range(3, 6):
        weight.grad = torch.sin(weight.detach() + i)
        resumed.step()
    torch.testing.assert_close(weight.detach(), expected, atol=1e-7, rtol=0)


def place(device, **marks):
    return SimpleNamespace(device=torch.device(device), **marks)


def test_which_parameters_are_fused():
    assert _on_gpus([place("cuda:1"), place("cuda:1")])
    assert _on_gpus([{"params": [place("cuda")]}, {"params": [place("cuda")]}])
    assert not _on_gpus([place("cuda"), place("cpu")]) and not _on_gpus([place("meta")]) and not _on_gpus([])
    assert not _on_gpus([place("cuda", ds_id=3)])  # DeepSpeed ZeRO-3 steps over parts of its own


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_with_a_fused_step(tmp_path, precision):
    """Lightning refuses to clip for an optimiser that says it unscales gradients in its step."""

    def fitted(fused):
        module, data = rollout_fit(tiny_policy(), rollouts=1)
        module.algorithm.optimizer = lambda parameters: AdamW(parameters, fused=fused, **OPTIONS)
        before = weights(module.policy)
        run = trainer(tmp_path, precision=precision, gradient_clip_val=1e-3)
        run.fit(module, datamodule=data)
        return weights(module.policy) - before

    plain, fused = fitted(None), fitted(True)
    assert plain.abs().max() > 0
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-3)


def test_what_it_can_be():
    with pytest.raises(ConfigError, match=r"algo\.optimizer\.fused=auto: expected true, false or null"):
        AdamW([start()], fused="auto")

"""Engines that split weights look for tensors in what modules return, to know when backward begins."""

import dataclasses

import pytest
import torch
from deepspeed.runtime.zero.utils import apply_to_tensors_only
from fakes import LORA, tiny_policy
from torch.utils._pytree import tree_leaves

from igpo_lightning.models.head import TokenScores


@pytest.fixture(autouse=True)
def first_process(monkeypatch):
    monkeypatch.setattr("deepspeed.comm.get_rank", lambda: 0)


def seen(value):
    """The tensors that ZeRO-3's hooks find; what it can't look into is an error, as it would warn."""
    found = []

    def opaque(value):
        raise AssertionError(f"a {type(value).__name__} is not looked into")

    apply_to_tensors_only(lambda tensor: found.append(tensor) or tensor, value, warning_msg_fn=opaque)
    return found


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("targets", [None, (5,), (5, 3)], ids=["logits", "one target", "three targets"])
def test_every_module_returns_what_they_understand(targets, lora):
    policy, count = tiny_policy(lora=lora), []

    def look(module, inputs, output):
        tensors = seen(output)
        for_fsdp2 = [leaf for leaf in tree_leaves(output) if isinstance(leaf, torch.Tensor)]
        assert len(tensors) == len(for_fsdp2) > 0
        assert any(tensor.requires_grad for tensor in tensors) or lora or "Rotary" in type(module).__name__
        count.append(module)

    for module in policy.modules():
        module.register_forward_hook(look)
    tokens = torch.arange(12)[None] + 3
    positions = torch.arange(12)[None] < 5
    ids = None if targets is None else torch.ones(targets, dtype=torch.long)
    policy(tokens, None, positions, targets=ids, entropy=True)
    assert policy in count and len(count) > 10


def test_scores_come_back_as_scores():
    scores = TokenScores(torch.zeros(3), None, torch.ones(3, dtype=torch.long))
    again = apply_to_tensors_only(lambda tensor: tensor + 1, scores)
    assert isinstance(again, TokenScores) and again.logps.tolist() == [1, 1, 1] and again.entropy is None


def test_a_dataclass_would_not_do():
    part = dataclasses.make_dataclass("Part", ["logps"])
    with pytest.raises(AssertionError, match="not looked into"):
        seen(part(torch.zeros(2)))

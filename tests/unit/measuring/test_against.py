"""Checkouts: small stand-ins with the signatures of the published functions."""

from __future__ import annotations

import pytest
import torch

from igpo_lightning.checks import ConfigError
from igpo_lightning.measuring.against import TheirModel, checkouts, load_module
from igpo_lightning.measuring.meter import Meter
from igpo_lightning.measuring.weights import Ids
from igpo_lightning.models import create_policy

LLADA = """
import torch

@torch.no_grad()
def generate(model, prompt, attention_mask=None, steps=128, gen_length=128, block_length=128, temperature=0.,
             cfg_scale=0., remasking='low_confidence', mask_id=126336):
    BATCH_CHECK
    x = torch.full((prompt.shape[0], prompt.shape[1] + gen_length), mask_id).to(model.device)
    x[:, :prompt.shape[1]] = prompt
    for _ in range(steps):
        logits = model(x, attention_mask=attention_mask).logits
        assert logits.shape[:2] == x.shape
    torch.rand(3)
    logits[..., mask_id] = -torch.inf
    return torch.where(x == mask_id, logits.argmax(-1), x)
"""

FAST = """
import torch
from model.modeling_llada import LLaDAModel

def generate(model, prompt, steps=128, gen_length=128, block_length=128, temperature=0.,
             remasking='low_confidence', mask_id=126336, threshold=None, factor=None):
    x = torch.cat([prompt, torch.full((len(prompt), gen_length), mask_id)], 1)
    assert threshold == 0.9
    return model(x).logits.argmax(-1), 1

def generate_with_prefix_cache(model, prompt, steps=128, gen_length=128, block_length=128, temperature=0.,
                               remasking='low_confidence', mask_id=126336, threshold=None, factor=None):
    x = torch.cat([prompt, torch.full((len(prompt), gen_length), mask_id)], 1)
    start = prompt.shape[1]
    past = model(x, use_cache=True).past_key_values
    past = [tuple(part[:, :, :start] for part in layer) for layer in past]
    rest = model(x[:, start:], past_key_values=past, use_cache=True).logits
    return torch.cat([prompt, rest.argmax(-1)], 1), 2

def generate_with_dual_cache(model, prompt, steps=128, gen_length=128, block_length=128, temperature=0.,
                             remasking='low_confidence', mask_id=126336, threshold=None, factor=None):
    assert len(prompt) == 1, 'one prompt at a time'
    x = torch.cat([prompt, torch.full((len(prompt), gen_length), mask_id)], 1)
    past = model(x, use_cache=True).past_key_values
    at = torch.zeros_like(x, dtype=torch.bool)
    at[:, prompt.shape[1]:] = True
    inner = model(x[:, prompt.shape[1]:], past_key_values=past, use_cache=True, replace_position=at).logits
    return torch.cat([prompt, inner.argmax(-1)], 1), 2
"""

# A network in the published layout: the names of its tensors, and no attention.
MODELING = """
from collections import namedtuple
from dataclasses import dataclass

import torch
from torch import nn

Output = namedtuple("Output", "logits attn_key_values")

@dataclass
class ModelConfig:
    d_model: int = 0
    n_layers: int = 0
    mlp_hidden_size: int = 0
    embedding_size: int = 0
    init_device: str = "cpu"

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        for name in ("attn_norm", "ff_norm"):
            norm = nn.Module()
            norm.weight = nn.Parameter(torch.empty(c.d_model, device=c.init_device))
            setattr(self, name, norm)
        inner = {"ff_proj": (c.d_model, c.mlp_hidden_size), "up_proj": (c.d_model, c.mlp_hidden_size),
                 "ff_out": (c.mlp_hidden_size, c.d_model)}
        for name in ("q_proj", "k_proj", "v_proj", "attn_out"):
            inner[name] = (c.d_model, c.d_model)
        for name, (i, o) in inner.items():
            setattr(self, name, nn.Linear(i, o, bias=False, device=c.init_device))

class LLaDAModel(nn.Module):
    def __init__(self, config, init_params=True):
        super().__init__()
        assert not init_params
        self.config = config
        norm = nn.Module()
        norm.weight = nn.Parameter(torch.empty(config.d_model, device=config.init_device))
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(config.embedding_size, config.d_model, device=config.init_device),
            blocks=nn.ModuleList(Block(config) for _ in range(config.n_layers)),
            ln_f=norm,
            ff_out=nn.Linear(config.d_model, config.embedding_size, bias=False, device=config.init_device),
        ))

    def forward(self, input_ids, past_key_values=None, use_cache=False, replace_position=None):
        hidden = self.transformer.wte(input_ids)
        keys = [(hidden[:, None], hidden[:, None])] if use_cache else None
        return Output(self.transformer.ff_out(hidden), keys)
"""


def checkout(folder, generate, modeling=None):
    (folder / "generate.py").write_text(generate)
    if modeling is not None:
        (folder / "model").mkdir()
        (folder / "model" / "modeling_llada.py").write_text(modeling)
    return folder


@pytest.fixture
def load(workload):
    return workload("sampler.temperature=0")


@pytest.mark.parametrize("batched", [True, False])
def test_lladas_function_sees_our_logits(load, tmp_path, batched):
    check = "pass" if batched else "assert len(prompt) == 1"
    folder = checkout(tmp_path, LLADA.replace("BATCH_CHECK", check))
    (found,) = checkouts(str(folder), "llada", {}, load)
    assert found.work.batched == batched and not found.own_network
    assert found.changes == ["generate()", *([] if batched else ["one row at a time"])]
    meter, before = Meter(load.device), torch.get_rng_state()
    found.work(load, meter)
    assert torch.equal(torch.get_rng_state(), before)  # what it draws is not drawn from ours
    assert meter.turn.tokens == 4 * 8 and meter.turn.row_forwards == 4 * 4  # rows x steps
    assert meter.turn.seconds > 0
    ids = torch.tensor([load.prompts[0].ids])
    canvas = torch.cat([ids, torch.full((1, 8), load.policy.mask_id)], 1)
    table = load.policy(canvas)
    table[..., load.policy.mask_id] = -torch.inf
    out = found.work.run(load, ids, {"steps": 1, "gen_length": 8, "block_length": 4})
    assert torch.equal(out[0, 4:], table.argmax(-1)[0, 4:])


def test_fast_dllms_functions_run_their_own_network_with_our_weights(load, tmp_path):
    folder = checkout(tmp_path, FAST, MODELING)
    found = checkouts(str(folder), "fast_dllm", {"threshold": 0.9}, load)
    assert [c.name for c in found] == ["Fast-dLLM", "Fast-dLLM, prefix cache", "Fast-dLLM, dual cache"]
    assert [c.work.batched for c in found] == [True, True, False] and all(c.own_network for c in found)
    rows = []
    for contender in found:
        meter = Meter(load.device)
        contender.work(load, meter)
        rows.append(meter.turn.row_forwards)
        assert meter.turn.tokens == 4 * 8
    assert rows == [4, 8, 8]
    theirs = found[0].work.model.network
    assert torch.equal(theirs.transformer.ff_out.weight, load.policy.network.lm_head.weight)
    layer = load.policy.network.model.layers[1].mlp.down_proj.weight
    assert theirs.transformer.blocks[1].ff_out.weight.data_ptr() == layer.data_ptr()  # shared, not copied


@pytest.mark.parametrize(
    ("generate", "kind", "message"),
    [
        (None, "llada", r"no generate.py in it"),
        ("import nothing_of_this_name", "llada", r"generate.py: ModuleNotFoundError: .*nothing_of_this_name"),
        ("def generate(): pass", "fast_dllm", r"has no generate_with_prefix_cache; is kind=fast_dllm right"),
        ("def generate(): pass", "dream", r"kind=dream: expected llada or fast_dllm"),
    ],
)
def test_what_is_no_checkout_is_refused(load, tmp_path, generate, kind, message):
    if generate is not None:
        checkout(tmp_path, generate)
    with pytest.raises(ConfigError, match=message):
        checkouts(str(tmp_path), kind, {}, load)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    sizes = {"hidden_size": 16, "layers": 1, "heads": 2, "mlp_size": 24}
    module = load_module(checkout(tmp_path, FAST, MODELING), "model.modeling_llada")
    policy = create_policy(Ids(32, 31, 30), **sizes, lora={"rank": 2, "alpha": 4, "targets": ["q_proj"]})
    with pytest.raises(ConfigError, match=r"its model knows no adapters"):
        TheirModel(module, policy)
    module.ModelConfig.__dataclass_fields__.pop("mlp_hidden_size")
    with pytest.raises(ConfigError, match=r"our weights do not fit its model"):
        TheirModel(module, create_policy(Ids(32, 31, 30), **sizes))

"""Traced on shapes alone, memory is what torch's profiler measures of the real computation."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig

from igpo_lightning.models.head import chunked_scores
from igpo_lightning.models.skeleton import Skeleton
from igpo_lightning.preflight import trace
from igpo_lightning.sampling import LowConfidenceSampler

LORA = {"rank": 8, "alpha": 8, "targets": ["q_proj", "v_proj", "down_proj"]}
ROWS, COLUMNS = 4, 96


def measured_peak(function):
    """Bytes by which ``function`` raises the allocated memory, at most."""
    function()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    now = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def skeleton(key_heads=2, **changes):
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=6,  # twice as many as are traced
        num_attention_heads=4,
        num_key_value_heads=key_heads,
    )
    config.is_causal = False
    return Skeleton(config, **changes)


def step(shape, autocast, grad, padded=True):
    network = shape.network(device="cpu").train()
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)
    tokens = torch.ones(ROWS, COLUMNS, dtype=torch.long)
    mask = torch.ones(ROWS, COLUMNS, dtype=torch.bool)
    mask[0, :9] = False

    def run():
        with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            hidden = network.model(
                input_ids=tokens, attention_mask=mask if padded else None, use_cache=False
            ).last_hidden_state
        if grad:
            hidden.sum().backward()

    return run


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize(
    "dtype, autocast",
    [(torch.float32, False), (torch.bfloat16, False), (torch.float32, True)],
    ids=["float32", "bfloat16", "mixed"],
)
def test_activations(lora, checkpointing, dtype, autocast):
    shape = skeleton(dtype=dtype, lora=lora, gradient_checkpointing=checkpointing)
    real = measured_peak(step(shape, autocast, grad=True))
    lower = torch.bfloat16 if autocast else None
    assert trace.training_bytes(shape, ROWS, COLUMNS, autocast=lower) == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_activations_where_nothing_is_padded(checkpointing):
    shape = skeleton(key_heads=4, gradient_checkpointing=checkpointing)
    real = measured_peak(step(shape, autocast=False, grad=True, padded=False))
    traced = trace.training_bytes(shape, ROWS, COLUMNS, autocast=None, padded=False)
    assert traced == pytest.approx(real, rel=0.1)


def test_a_forward_without_gradient():
    shape = skeleton()
    real = measured_peak(step(shape, autocast=False, grad=False))
    assert trace.forward_bytes(shape, ROWS, COLUMNS, autocast=None) == pytest.approx(real, rel=0.1)


def test_recomputing_blocks_keeps_little_more_than_their_inputs():
    kept, recomputed = (
        trace.training_bytes(skeleton(gradient_checkpointing=on), ROWS, COLUMNS, autocast=None)
        for on in (False, True)
    )
    deeper = skeleton(gradient_checkpointing=True)
    deeper.config.num_hidden_layers = 7
    one_more = trace.training_bytes(deeper, ROWS, COLUMNS, autocast=None) - recomputed
    assert one_more == ROWS * COLUMNS * 128 * 4  # a block's input
    assert recomputed < kept / 3


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("vocabulary", [500, 300_000], ids=["one chunk", "chunks"])
def test_scores_of_tokens(trained, vocabulary):
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=16, num_attention_heads=2)
    head = nn.Linear(16, vocabulary, bias=False).requires_grad_(trained)
    if trained:
        head.weight.grad = torch.zeros_like(head.weight)
    hidden = torch.ones(160, 16, requires_grad=True)
    ids = torch.zeros(160, 2, dtype=torch.long)
    real = measured_peak(lambda: chunked_scores(head, hidden, ids).logps.sum().backward())
    traced = trace.scoring_bytes(Skeleton(config), 160, 2, trained=trained, autocast=None)
    assert traced == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("temperature, expected", [
    (0.0, 4 + 4),  # float32 logits and their log-softmax
    (1.0, 4 + 8 + 8),  # float32 logits, their softmax in float64 and its running sum
])  # fmt: skip
def test_a_sampler_holds_so_many_bytes_for_a_logit(temperature, expected):
    sampler = LowConfidenceSampler(32, 16, 8, temperature)
    assert trace.sampling_bytes_per_logit(sampler, torch.float32) == pytest.approx(expected, rel=0.1)

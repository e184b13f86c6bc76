"""Traced on shapes alone, memory is what torch's profiler measures of the real computation."""

import pytest
import torch
from fakes import algorithm, tiny_policy
from torch import nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig

from igpo_lightning.models import load_policy
from igpo_lightning.models.head import chunked_scores
from igpo_lightning.models.skeleton import Skeleton, skeleton_of_saved
from igpo_lightning.preflight import trace
from igpo_lightning.preflight.memory import bytes_per_logit
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.training import PolicyOptimization

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
        with torch.set_grad_enabled(grad), trace.lower(torch.bfloat16 if autocast else None):
            hidden = network.model(
                input_ids=tokens, attention_mask=mask if padded else None, use_cache=False
            ).last_hidden_state
        if grad:
            hidden.sum().backward()

    return run


DTYPES = {
    "float32": (torch.float32, False), "bfloat16": (torch.bfloat16, False), "mixed": (torch.float32, True)
}  # fmt: skip


@pytest.mark.parametrize("dtype, checkpointing, lora", [
    pytest.param(dtype, recomputed, lora, marks=pytest.mark.slow if dtype == "bfloat16" and not lora else [],
                 id=f"{dtype}-{'recomputed' if recomputed else 'kept'}-{'lora' if lora else 'full'}")
    for dtype in DTYPES for recomputed in (False, True) for lora in (None, LORA)
])  # fmt: skip
def test_activations(dtype, checkpointing, lora):
    dtype, autocast = DTYPES[dtype]
    shape = skeleton(dtype=dtype, lora=lora, gradient_checkpointing=checkpointing)
    real = measured_peak(step(shape, autocast, grad=True))
    lower = torch.bfloat16 if autocast else None
    assert trace.blocks(shape, ROWS, COLUMNS, lower, padded=True, grad=True).bytes == pytest.approx(
        real, rel=0.1
    )


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_activations_where_nothing_is_padded(checkpointing):
    shape = skeleton(key_heads=4, gradient_checkpointing=checkpointing)
    real = measured_peak(step(shape, autocast=False, grad=True, padded=False))
    traced = trace.blocks(shape, ROWS, COLUMNS, None, padded=False, grad=True).bytes
    assert traced == pytest.approx(real, rel=0.1)


def test_a_forward_without_gradient():
    shape = skeleton()
    real = measured_peak(step(shape, autocast=False, grad=False))
    assert trace.blocks(shape, ROWS, COLUMNS, None, padded=True, grad=False).bytes == pytest.approx(
        real, rel=0.1
    )


def test_recomputing_blocks_keeps_little_more_than_their_inputs():
    kept, recomputed = (
        trace.blocks(skeleton(gradient_checkpointing=on), ROWS, COLUMNS, None, True, True).bytes
        for on in (False, True)
    )
    deeper = skeleton(gradient_checkpointing=True)
    deeper.config.num_hidden_layers = 7
    one_more = trace.blocks(deeper, ROWS, COLUMNS, None, True, True).bytes - recomputed
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
    traced = trace.scores(Skeleton(config), 160, 2, trained, None)
    assert traced == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize("temperature, expected", [
    (0.0, 4 + 4),  # float32 logits and their exponentials
    (1.0, 4 + 4),  # float32 logits, and their exponentials; no float64 copy
])  # fmt: skip
def test_a_sampler_holds_so_many_bytes_for_a_logit(temperature, expected):
    sampler = BlockwiseSampler(32, 16, 8, temperature)
    assert bytes_per_logit(sampler, torch.float32) == pytest.approx(expected, rel=0.1)


def test_work_of_a_block():
    one = skeleton(key_heads=4)  # q, k, v and o, and three matrices of the MLP; backward is twice forward
    products = 2 * (4 * 128 * 128 + 3 * 128 * 320) * 6 * ROWS * COLUMNS
    forward, both = (
        trace.blocks(one, ROWS, COLUMNS, None, padded=False, grad=g).flops for g in (False, True)
    )
    assert forward == pytest.approx(products, rel=0.01)
    assert both == pytest.approx(3 * products, rel=0.05)


def test_what_is_loaded_is_traced_in_the_mode_that_it_is_trained_in(tmp_path):
    tiny_policy().save(tmp_path / "base")
    options = {"gradient_checkpointing": True, "lora": {"rank": 2, "alpha": 2, "targets": ["q_proj"]}}
    policy = load_policy(str(tmp_path / "base"), **options)
    PolicyOptimization(policy, algorithm())  # as a stage has it
    loaded = policy.network.model.layers[0]
    traced = skeleton_of_saved(str(tmp_path / "base"), **options)[0].network().model.layers[0]
    assert (traced.training, traced.gradient_checkpointing) == (
        loaded.training,
        loaded.gradient_checkpointing,
    )


@pytest.mark.parametrize("rows, positions, targets, measured", [
    (1, 128, 8, 22.1 - 19.9),  # 8 completions of a prompt share their canvas
    (2, 192, 1, 23.3 - 19.9),
])  # fmt: skip
def test_an_8b_model_takes_what_was_measured_on_an_h200(rows, positions, targets, measured):
    """GiB of docs/gpu.md, less weights, gradients and optimiser states; checkpointing was not on."""
    config = LlamaConfig(
        vocab_size=126464, hidden_size=4096, intermediate_size=12288, num_hidden_layers=32,
        num_attention_heads=32,
    )  # fmt: skip
    targeted = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]
    lora = {"rank": 128, "alpha": 64, "targets": targeted}
    shape = Skeleton(config, dtype=torch.bfloat16, lora=lora, source="published")
    found = trace.blocks(shape, rows, 180, torch.bfloat16, padded=True, grad=True).bytes
    found += trace.scores(shape, positions, targets, False, torch.bfloat16)
    assert found / 2**30 == pytest.approx(measured, rel=0.1)

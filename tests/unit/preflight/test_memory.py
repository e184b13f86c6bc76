"""What stays in memory: exactly the bytes of real tensors, and what ZeRO makes of them."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from igpo_lightning.models.skeleton import Skeleton
from igpo_lightning.preflight.memory import Memory, optimizer_bytes, states
from igpo_lightning.preflight.placement import Placement
from igpo_lightning.training.optimizers import AdamW

ADAMW = partial(torch.optim.AdamW, lr=1e-3)
LORA = {"rank": 4, "alpha": 8, "targets": ["q_proj", "down_proj"]}
ONE = Placement("one process", "gpu", 1)


def skeleton(**changes):
    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    return Skeleton(config, **changes)


def sizes(shape, placement=ONE, keeps_copy=False, make=ADAMW):
    return states(shape.model(), shape, make, placement, keeps_copy)[0].always


def size(tensors):
    return sum(t.untyped_storage().nbytes() for t in tensors)


@pytest.mark.parametrize("changes", [
    {}, {"dtype": torch.bfloat16}, {"lora": LORA}, {"dtype": torch.bfloat16, "lora": LORA},
])  # fmt: skip
def test_they_are_the_bytes_of_a_real_model_after_a_real_step(changes):
    shape = skeleton(**changes)
    network = shape.network(device="cpu")
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = ADAMW(trained)
    network(input_ids=torch.ones(2, 5, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    moments = [t for state in optimizer.state.values() for t in state.values()]
    assert sizes(shape) == {
        "weights": size([*network.parameters(), *network.buffers()]),
        "gradients": size([p.grad for p in trained]),
        "communication buffers": 0,
        "optimiser states": size(moments),
    }


def test_adapters_on_bfloat16_weights_are_float32():
    named = dict(skeleton(dtype=torch.bfloat16, lora=LORA).model().named_parameters())
    dtypes = {p.dtype for name, p in named.items() if ".lora_" in name}
    assert dtypes == {torch.float32}
    # q: 4 * (32 + 32), down: 4 * (48 + 32), two blocks of them
    assert sum(p.numel() for name, p in named.items() if ".lora_" in name) == 2 * (256 + 320)


def test_tied_weights_count_once():
    tied, own = (skeleton() for _ in range(2))
    tied.config.tie_word_embeddings = True
    assert sizes(own)["weights"] - sizes(tied)["weights"] == 50 * 32 * 4


@pytest.mark.parametrize("stage, kept, gradients", [
    # parameters 2 bytes, gradients 2 bytes, masters 4 bytes, Adam 8 bytes and one step
    (1, {"weights": 2 * 1000}, 2 * 1000),
    (2, {"weights": 2 * 1000}, 2 * 1000 // 4),
    (3, {"weights": 2 * 1000 // 4, "gathered layer": 2 * 2 * 1000}, 2 * 1000 // 4),
])  # fmt: skip
def test_zero_splits_what_its_stage_says(stage, kept, gradients):
    model = nn.Linear(100, 10, bias=False, device="meta", dtype=torch.bfloat16)
    place = Placement("ZeRO", "gpu", 4, stage=stage, deepspeed=True, cast=torch.bfloat16)
    found, adding = states(model, skeleton(), ADAMW, place, False)
    assert found.always == {**kept, "float32 masters": 4 * 250, "optimiser states": 8 * 250 + 4}
    assert adding == {"gradients": gradients, "communication buffers": 0}
    # float32 gradients and the square root of Adam's second moment
    assert found.phases["the optimiser's step"] == {"float32 gradients": 1000, "the optimiser's own": 1000}


def test_offloaded_parts_are_in_the_hosts_memory():
    place = Placement(
        "ZeRO-2", "gpu", 4, stage=2, deepspeed=True, offload_optimizer=True, cast=torch.bfloat16
    )
    model = nn.Linear(100, 10, bias=False, device="meta", dtype=torch.bfloat16)
    memory, _ = states(model, skeleton(), ADAMW, place, False)
    assert memory.always == {"weights": 2000} and memory.peak == 2000
    # masters, gradients, states; in the step float32 gradients and a square root
    assert sum(memory.host.values()) == 1000 + 500 + 2004 + 1000 + 1000


def test_ddp_has_a_second_copy_of_the_gradients():
    shape = skeleton()
    found = sizes(shape, Placement("DDP", "gpu", 2, buckets=2**62))
    assert found["communication buffers"] == found["gradients"]


@pytest.mark.parametrize("cast, itemsize", [(torch.bfloat16, 2), (None, 4)])
def test_a_copied_reference_is_in_the_dtype_of_the_policy(cast, itemsize):
    shape = replace(skeleton(), dtype=torch.bfloat16, cast=cast)  # what is trained is put into float32
    weights = sum(p.numel() for p in shape.model().parameters())
    assert sizes(shape, keeps_copy=True)["KL reference"] == itemsize * weights


def test_an_optimiser_that_looks_at_numbers_is_counted_like_adam():
    parameter = nn.Parameter(torch.empty(10, 10, device="meta"))
    assert optimizer_bytes([parameter], partial(torch.optim.Adafactor, lr=1.0), ONE) == (2 * 400, 400)
    assert optimizer_bytes([parameter], partial(torch.optim.SGD, lr=1.0, momentum=0.9), ONE)[0] == 400


def test_only_the_largest_phase_counts():
    memory = Memory({"weights": 10}, {"elsewhere": 99}, {"a": {"x": 3, "y": 4}, "b": {"z": 5}})
    assert memory.peak == 17 and memory.largest == "a"


def test_a_fused_step_needs_nothing_besides():
    """Where AdamW follows the device: torch's own would copy all parameters' moments at once."""
    made, place = partial(AdamW, lr=1e-3), ONE
    trained = [p for p in skeleton().model().parameters() if p.requires_grad]
    states_of_torch, working_of_torch = optimizer_bytes(trained, ADAMW, place)
    states_of_ours, working = optimizer_bytes(trained, made, place)
    assert states_of_ours == states_of_torch
    assert working < working_of_torch / 2
    deepspeed = replace(place, deepspeed=True)  # steps over parts of its own, not fused
    assert optimizer_bytes(trained, made, deepspeed) == optimizer_bytes(trained, ADAMW, deepspeed)

"""Networks without weights: as large, and of the same dtypes, as the real ones."""

import json
from functools import partial

import pytest
import torch
from fakes import LORA, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import create_policy, load_policy
from igpo_lightning.models.casting import trained_in_float32
from igpo_lightning.models.skeleton import skeleton_of_new, skeleton_of_saved


def shapes(policy):
    return {name: (p.shape, p.dtype, p.requires_grad) for name, p in policy.named_parameters()}


@pytest.mark.parametrize("lora", [None, LORA])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_saved_model(tmp_path, lora, dtype):
    tiny_policy().save(tmp_path)
    skeleton, tokenizer = skeleton_of_saved(str(tmp_path), dtype=dtype, lora=lora)
    policy, real = skeleton.policy(tokenizer), load_policy(str(tmp_path), dtype=dtype, lora=lora)
    trained_in_float32(real)  # as a run does before it starts
    assert shapes(policy) == shapes(real)
    assert {p.device.type for p in policy.parameters()} == {"meta"}
    assert (policy.mask_id, policy.stop_ids) == (real.mask_id, real.stop_ids)


def test_an_adapter_on_an_adapter(tmp_path):
    tiny_policy().save(tmp_path / "base")
    load_policy(str(tmp_path / "base"), dtype="bfloat16", lora=LORA).save(tmp_path / "first")
    options = {"dtype": "bfloat16", "lora": LORA}
    skeleton, tokenizer = skeleton_of_saved(str(tmp_path / "first"), **options)
    real = load_policy(str(tmp_path / "first"), **options)
    assert shapes(skeleton.policy(tokenizer)) == shapes(real)


def test_a_new_model():
    real = tiny_policy(lora=LORA)
    create = partial(create_policy, hidden_size=16, layers=1, heads=2, mlp_size=32)
    assert shapes(skeleton_of_new(create, real.tokenizer, LORA).policy(real.tokenizer)) == shapes(real)


def test_few_blocks_of_the_real_width_and_a_conversion(tmp_path):
    tiny_policy().save(tmp_path)
    skeleton, _ = skeleton_of_saved(str(tmp_path), lora=LORA)
    network = skeleton.converted(torch.bfloat16).network(layers=3, vocabulary=5)
    assert len(network.model.layers) == 3 and network.lm_head.weight.shape == (5, 16)
    assert {p.dtype for p in network.parameters()} == {torch.bfloat16}


LLADA = {
    "model_type": "llada", "vocab_size": 30, "embedding_size": 32, "d_model": 16, "n_layers": 2,
    "n_heads": 2, "n_kv_heads": 2, "mlp_hidden_size": 24, "max_sequence_length": 64, "rope_theta": 1e4,
    "rms_norm_eps": 1e-5, "weight_tying": False, "eos_token_id": 1, "pad_token_id": 1, "mask_token_id": 2,
}  # fmt: skip


def test_a_published_config_alone_is_enough(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLADA))
    skeleton, tokenizer = skeleton_of_saved(str(tmp_path))
    assert tokenizer is None
    block = 4 * 16 * 16 + 3 * 16 * 24 + 2 * 16  # attention, MLP, two norms
    assert sum(p.numel() for p in skeleton.model().parameters()) == 2 * block + 2 * 32 * 16 + 16


def test_the_parameters_of_llada_8b(real_data):
    skeleton, _ = skeleton_of_saved(str(real_data("llada")), dtype="bfloat16")
    assert sum(p.numel() for p in skeleton.model().parameters()) == 8_015_581_184


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.path"):
        skeleton_of_saved(str(tmp_path))

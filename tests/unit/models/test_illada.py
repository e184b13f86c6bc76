"""iLLaDA: LLaDA's layout with shared keys, tied embeddings, and the mask token known by its id only."""

import json

import pytest
import torch
from checkpoints import GROUPED, write_llada
from fakes import LORA
from hydra.utils import instantiate
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import composed
from igpo_lightning.models import load_policy, network_config
from igpo_lightning.models.skeleton import skeleton_of_saved


def illada(folder, **fields):
    """A small one whose config.json does not name the mask token."""
    config = write_llada(folder, sizes=GROUPED, weight_tying=True, **fields)
    del config["mask_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    return config


TOKENS = torch.randint(0, 250, (2, 9), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("lora", [None, LORA])
def test_a_tied_checkpoint_loads_and_is_written_as_it_came(tmp_path, lora):
    illada(tmp_path / "published")
    policy = load_policy(str(tmp_path / "published"), mask_id=5, lora=lora)
    network = policy.network
    assert policy.mask_id == 5
    assert network.lm_head.weight.data_ptr() == network.model.embed_tokens.weight.data_ptr()
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    policy.save(tmp_path / "saved", merge=True)
    names = {n for f in (tmp_path / "saved").glob("*.safetensors") for n in load_file(f)}
    assert "model.transformer.wte.weight" in names and "model.transformer.ff_out.weight" not in names
    again = load_policy(str(tmp_path / "saved"))  # its config.json says the mask token's id
    assert again.mask_id == 5
    torch.testing.assert_close(again(TOKENS), policy(TOKENS), atol=1e-5, rtol=1e-5)
    if lora is None:
        assert torch.equal(again(TOKENS), policy(TOKENS))


def test_an_adapter_of_a_tied_model_leaves_the_embeddings_alone(tmp_path):
    illada(tmp_path / "published")
    policy = load_policy(str(tmp_path / "published"), mask_id=5, lora=LORA)
    trained = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
    assert trained and all("lora_" in name for name in trained)
    policy.save(tmp_path / "adapter")
    again = load_policy(str(tmp_path / "adapter"), mask_id=5)
    with torch.no_grad():
        assert torch.equal(again(TOKENS), policy(TOKENS))


def test_training_all_weights_of_a_tied_model_changes_its_embedding_once(tmp_path):
    illada(tmp_path / "published")
    policy = load_policy(str(tmp_path / "published"), mask_id=5)
    names = [name for name, _ in policy.named_parameters()]
    assert sum("lm_head" in name or "embed_tokens" in name for name in names) == 1
    policy(TOKENS).logsumexp(-1).sum().backward()
    assert policy.network.model.embed_tokens.weight.grad.abs().sum() > 0


def test_a_config_that_names_the_mask_token_is_believed(tmp_path):
    config = write_llada(tmp_path)
    assert load_policy(str(tmp_path), mask_id=5).mask_id == config["mask_token_id"] != 5


def test_without_either_it_is_asked_for(tmp_path):
    illada(tmp_path)
    with pytest.raises(ConfigError, match=r"mask_token_id; .*model.load.mask_id says it"):
        load_policy(str(tmp_path))


def test_the_option_reads_it(tmp_path):
    illada(tmp_path / "published")
    cfg = composed(["model=illada", f"model.path={tmp_path / 'published'}"])
    assert instantiate(cfg.model.load)(cfg.model.path).mask_id == 5
    skeleton, tokenizer = skeleton_of_saved(cfg.model.path, **instantiate(cfg.model.load).keywords)
    assert skeleton.policy(tokenizer).mask_id == 5


def test_the_published_sizes_are_the_published_number_of_parameters(tmp_path):
    """7.62 billion, 6.98 without the embedding (the model's card)."""
    illada(
        tmp_path, d_model=4096, n_layers=32, n_heads=32, n_kv_heads=8, mlp_hidden_size=14336,
        vocab_size=155136, embedding_size=155136, max_sequence_length=8192,
    )  # fmt: skip
    config, _ = network_config(str(tmp_path), mask_id=5)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    embedding = 155136 * 4096
    assert (round(count / 1e9, 2), round((count - embedding) / 1e9, 2)) == (7.62, 6.98)

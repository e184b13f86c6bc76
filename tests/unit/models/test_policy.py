import json

import pytest
import torch
from fakes import LORA, encoded, tiny_policy, weights
from safetensors.torch import load_file, save_file

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.models import create_policy, load_policy
from igpo_lightning.sampling.canvas import attention_of, collate

TOKENS = torch.arange(4, 16)[None]


@torch.no_grad()
def test_a_later_token_changes_earlier_logits():
    policy = tiny_policy()
    other = TOKENS.clone()
    other[0, -1] = 30
    change = (policy(TOKENS) - policy(other)).abs().amax(-1)[0]
    assert (change > 1e-4).all()  # at every position, the first included


@torch.no_grad()
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_is_bidirectional_with_padding_and_without(implementation):
    policy = tiny_policy(attn_implementation=implementation)
    plain = policy(TOKENS)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), TOKENS], 1)
    mask = torch.cat([torch.zeros(1, 3, dtype=torch.bool), torch.ones(1, 12, dtype=torch.bool)], 1)
    torch.testing.assert_close(policy(padded, mask)[:, 3:], plain, atol=1e-5, rtol=1e-5)
    other = padded.clone()
    other[0, -1] = 30
    assert ((policy(padded, mask) - policy(other, mask)).abs().amax(-1)[0, 3:] > 1e-4).all()
    torch.testing.assert_close(plain, tiny_policy()(TOKENS), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_only_asked_positions_reach_the_head():
    policy = tiny_policy()
    prompts = collate(encoded(policy, 3), policy.pad_id)
    attention = attention_of(prompts.mask, 0)
    positions = prompts.mask & (prompts.ids % 2 == 0)
    some = policy(prompts.ids, attention, positions)
    assert some.shape == (int(positions.sum()), len(policy.tokenizer))
    torch.testing.assert_close(some, policy(prompts.ids, attention)[positions], atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_saved_and_loaded_it_computes_the_same(tmp_path):
    policy = tiny_policy()
    policy.save(tmp_path)
    suffixes = {p.suffix for p in tmp_path.iterdir()}
    assert ".safetensors" in suffixes and not suffixes & {".bin", ".pt", ".pth", ".pkl", ".py"}
    again = load_policy(str(tmp_path))
    assert torch.equal(policy(TOKENS), again(TOKENS))
    assert (again.mask_id, again.eos_id, again.pad_id) == (policy.mask_id, policy.eos_id, policy.pad_id)
    text = "Ann has 5 wins 2"
    assert again.tokenizer(text).input_ids == policy.tokenizer(text).input_ids
    assert load_policy(str(tmp_path), dtype="bfloat16")(TOKENS).dtype == torch.bfloat16


@torch.no_grad()
def test_an_adapter_folder_is_merged_when_loaded(tmp_path):
    tiny_policy().save(tmp_path / "base")
    policy = load_policy(str(tmp_path / "base"), lora=LORA)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            weight.fill_(0.1)
    policy.save(tmp_path / "adapter")
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    merged = load_policy(str(tmp_path / "adapter"))
    torch.testing.assert_close(merged(TOKENS), policy(TOKENS), atol=1e-5, rtol=1e-5)
    base = load_policy(str(tmp_path / "base"))
    assert (merged(TOKENS) - base(TOKENS)).abs().max() > 1e-2


def test_lora_trains_adapters_only_and_starts_as_the_base():
    policy = tiny_policy(lora=LORA)
    trainable = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert trainable and all("lora_" in name for name in trainable)
    assert {name.split(".")[-4] for name in trainable} == set(LORA["targets"])
    assert torch.equal(policy(TOKENS), tiny_policy()(TOKENS))


def test_a_lora_target_that_matches_nothing_lists_the_names():
    with pytest.raises(ConfigError) as caught:
        tiny_policy(lora={**LORA, "targets": ["q_proj", "query"]})
    message = str(caught.value)
    assert message.startswith("model.lora.targets: ['query'] match no linear layer")
    for name in ("q_proj", "k_proj", "o_proj", "gate_proj", "lm_head"):
        assert name in message


@torch.no_grad()
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_reference_stays_where_training_started(lora):
    policy = tiny_policy(lora=lora)
    with pytest.raises(RuntimeError, match="keep_reference"), policy.reference():
        pass
    policy.keep_reference()
    start = policy(TOKENS)
    for p in policy.parameters():
        if p.requires_grad:
            p.add_(0.1)
    moved = policy(TOKENS)
    with policy.reference() as frozen:
        assert torch.equal(frozen(TOKENS), start)
    assert torch.equal(policy(TOKENS), moved) and (moved - start).abs().max() > 1e-2
    names = {name for name, _ in policy.named_parameters()}
    assert not any("frozen" in name for name in names) and set(policy.state_dict()) >= names


def test_no_dropout_is_left():
    policy = tiny_policy(lora={**LORA, "dropout": 0.5})
    for module in policy.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
    policy.train()
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.fill_(1.0)
        assert not torch.equal(policy(TOKENS), policy(TOKENS))
        policy.disable_dropout()
        assert torch.equal(policy(TOKENS), policy(TOKENS))


def test_a_checkpoint_of_another_model_is_one_clear_error(tmp_path):
    policy = tiny_policy()
    policy.save(tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    (tmp_path / "a" / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(
        ConfigError, match=r"do not fit its config.json: 3 tensors .*layers.0.mlp.*another model"
    ):
        load_policy(str(tmp_path / "a"))
    policy.save(tmp_path / "b")
    tensors = load_file(tmp_path / "b" / "model.safetensors")
    save_file(
        {f"transformer.{k}": v for k, v in tensors.items()},
        tmp_path / "b" / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ConfigError, match=r"model.path: the weights in .* do not fit its config.json: \d+ tensors"
    ):
        load_policy(str(tmp_path / "b"))


def test_folders_without_a_model_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no config.json"):
        load_policy(str(tmp_path))
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ConfigError, match=r"model.path: cannot load"):
        load_policy(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ConfigError, match=r"model.path: .* holds no weights"):
        load_policy(str(tmp_path))


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    tiny_policy().save(tmp_path)
    word_level([f"w{i}" for i in range(500)]).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has 504 tokens but the model embeds only \d+"):
        load_policy(str(tmp_path))


def test_a_policy_needs_a_mask_token():
    tokenizer = word_level(["a"])
    tokenizer.mask_token = None
    with pytest.raises(ConfigError, match="mask_token_id; a masked diffusion policy needs it"):
        create_policy(tokenizer, hidden_size=16, layers=1, heads=2, mlp_size=16)


def test_weights_belong_to_their_seed():
    assert torch.equal(weights(tiny_policy(seed=1)), weights(tiny_policy(seed=1)))
    assert not torch.equal(weights(tiny_policy(seed=1)), weights(tiny_policy(seed=2)))


def test_the_reference_is_rounded_as_the_trained_weights_are():
    """DeepSpeed casts a policy after its reference was kept; before any update the two must agree."""
    policy = tiny_policy()
    policy.keep_reference()
    policy.model.to(torch.bfloat16)
    tokens = torch.arange(4, 16)[None]
    with torch.no_grad(), policy.reference() as frozen:
        reference = frozen(tokens)
    assert reference.dtype == torch.bfloat16 and torch.equal(reference, policy(tokens))

"""Small checkpoints in Dream's published layout: Qwen2 whose logits are read one position to the left."""

import shutil

import pytest
import torch
from checkpoints import write_dream
from transformers import AutoModelForCausalLM, Qwen2Tokenizer

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy, network_config

TOKENS = torch.randint(0, 250, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def policy(tmp_path):
    write_dream(tmp_path)
    return load_policy(str(tmp_path))


@torch.no_grad()
def test_a_position_is_read_from_its_left_neighbour(policy):
    states = policy.network.model(input_ids=TOKENS, use_cache=False).last_hidden_state
    plain = policy.network.lm_head(states)
    logits = policy(TOKENS)
    assert torch.equal(logits[:, 1:], plain[:, :-1])
    assert torch.equal(logits[:, 0], plain[:, 0])
    other = TOKENS.clone()
    other[:, -1] = 3
    assert (policy(other) - logits).abs().amax(-1).min() > 1e-4  # still bidirectional


@torch.no_grad()
def test_left_padding_changes_no_logit_and_hides_no_position(policy):
    """The first real token must not be read from the padding before it."""
    logits = policy(TOKENS)
    padded = torch.cat([torch.full((2, 4), policy.pad_id), TOKENS], 1)
    attention = (torch.arange(13) >= 4).expand(2, 13).clone()
    padded[1, 4], attention[1, 4] = policy.pad_id, False  # the second row is one token shorter
    got = policy(padded, attention)
    torch.testing.assert_close(got[0, 4:], logits[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[1, 5:], policy(TOKENS[1:, 1:])[0], atol=1e-5, rtol=1e-5)
    positions = attention & (torch.arange(13) % 2 == 0)
    positions[1, 5] = True
    torch.testing.assert_close(policy(padded, attention, positions), got[positions], atol=1e-6, rtol=1e-6)
    targets = torch.arange(int(positions.sum()))
    scores = policy(padded, attention, positions, targets=targets)
    expected = got[positions].log_softmax(-1)[targets, targets]
    torch.testing.assert_close(scores.logps, expected, atol=1e-5, rtol=1e-5)


def test_a_variant_that_is_no_plain_qwen_is_refused(tmp_path):
    write_dream(tmp_path, use_sliding_window=True)
    with pytest.raises(
        ConfigError, match=r"use_sliding_window=True, but only models with .* are a plain Qwen2"
    ):
        load_policy(str(tmp_path))


def test_the_published_config_is_qwen_at_seven_billion(real_data):
    config, published = network_config(str(real_data("dream")))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(p.numel() for p in model.parameters()) == 7_615_616_512
    assert config.mask_token_id == 151666 and published.family.shifted


def test_the_published_tokenizer_needs_no_code(real_data, tmp_path):
    sizes = {"hidden": 8, "mlp": 8, "layers": 1, "heads": 2, "kv_heads": 1}
    ids = {"mask_token_id": 151666, "eos_token_id": 151643, "pad_token_id": 151643}
    write_dream(tmp_path / "model", sizes=sizes, vocab_size=152064, **ids)
    for file in ("tokenizer.json", "chat_template.jinja"):
        (tmp_path / "model" / file).unlink()
    for file in ("vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json"):
        shutil.copy(real_data("dream") / file, tmp_path / "model")
    policy = load_policy(str(tmp_path / "model"))
    assert (policy.mask_id, policy.eos_id, policy.stop_ids) == (151666, 151643, (151645, 151643))
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved")).tokenizer
    text = "Find $x^2 = 12.5$.\n<|im_end|> café"
    assert again(text).input_ids == policy.tokenizer(text).input_ids
    assert again.decode(again(text).input_ids) == text and isinstance(again, Qwen2Tokenizer)

import json

import pytest
import torch
from checkpoints import EOS, EOT, MASK, llada_tokenizer, write_dream, write_llada, write_sdar
from fakes import tiny_policy
from tokenizers import AddedToken, Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Tokenizer

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.tokenizers import word_level
from igpo_lightning.models import load_policy
from igpo_lightning.models.tokens import stop_ids


def ends(template):
    tokenizer = llada_tokenizer(template)
    return tokenizer.convert_ids_to_tokens(stop_ids(tokenizer, tokenizer.eos_token_id))


def test_without_a_template_eos_ends_a_completion():
    policy = tiny_policy()
    assert policy.stop_ids == (policy.eos_id,) and policy.end_id == policy.eos_id
    assert ends(None) == [EOS]


@pytest.mark.parametrize("template, expected", [
    ("{% for m in messages %}{{ m.role }}: {{ m.content }}<|eot_id|>\n{% endfor %}", [EOT, EOS]),
    ("{% for m in messages %}{{ m.content }}\n\n<|eot_id|>{% endfor %}", [EOT, EOS]),  # after white space
    ("{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}<|eot_id|>", [EOS]),  # the first
    ("{% for m in messages %}{{ m.content }}{% endfor %} goes on <|eot_id|>", [EOS]),  # the text goes on
    ("{% for m in messages %}<|eot_id|>{{ m.content }}{% endfor %}", [EOS]),  # nothing follows
    ("{{ messages[0].content }}<|eot_id|>", [EOS]),  # prompts only
    ("{{ raise_exception('no assistant') }}", [EOS]),
])  # fmt: skip
def test_the_end_of_a_turn_is_what_follows_the_assistants_text(template, expected):
    assert ends(template) == expected


def test_lladas_published_template(real_data):
    config = json.loads((real_data("llada") / "tokenizer_config.json").read_text())
    special = {int(id): token["content"] for id, token in config["added_tokens_decoder"].items()}
    words = {"ANSWER": 0, "QUESTION": 1, **{token: id for id, token in special.items()}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="ANSWER"))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special.values()])
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=config["bos_token"], eos_token=config["eos_token"]
    )
    made.chat_template = config["chat_template"]
    assert stop_ids(made, made.eos_token_id) == (126348, 126081)


def test_dreams_published_template(real_data):
    tokenizer = Qwen2Tokenizer.from_pretrained(str(real_data("dream")), trust_remote_code=False)
    assert stop_ids(tokenizer, tokenizer.eos_token_id) == (151645, 151643)


def unmasked(folder, spare=0):
    """A saved Llama of 12 tokens, none of them a mask, with ``spare`` embeddings that no token uses."""
    tokenizer = word_level([f"w{i}" for i in range(8)])
    tokenizer.mask_token = None
    config = LlamaConfig(
        vocab_size=len(tokenizer) + spare, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_model_without_a_mask_token_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match=r"mask_token_id; .* needs it; .*model.load.mask_token adds one"):
        load_policy(unmasked(tmp_path))


@torch.no_grad()
def test_a_mask_token_is_added_with_the_mean_of_all_embeddings(tmp_path):
    policy = load_policy(unmasked(tmp_path / "base"), mask_token="<m>")
    assert policy.mask_id == 12 and policy.tokenizer.mask_token == "<m>"
    for layer in (policy.network.model.embed_tokens, policy.network.lm_head):
        assert len(layer.weight) == 13
        torch.testing.assert_close(layer.weight[12], layer.weight[:12].mean(0))
    policy.save(tmp_path / "saved")
    again = load_policy(str(tmp_path / "saved"), mask_token="<other>")  # it has one now
    tokens = torch.tensor([[3, 12, 5]])
    assert again.mask_id == 12 and torch.equal(again(tokens), policy(tokens))


@torch.no_grad()
def test_an_adapter_finds_the_added_mask_token_again(tmp_path):
    base = unmasked(tmp_path / "base")
    policy = load_policy(base, mask_token="<m>", lora={"rank": 2, "alpha": 2, "targets": ["q_proj"]})
    policy.save(tmp_path / "adapter")
    tokens = torch.tensor([[3, 12, 5]])
    assert torch.equal(load_policy(str(tmp_path / "adapter"))(tokens), policy(tokens))


def test_a_mask_token_takes_a_spare_embedding_or_a_token_there_is(tmp_path):
    policy = load_policy(unmasked(tmp_path / "spare", spare=4), mask_token="<m>")
    assert policy.mask_id == 12 and len(policy.network.lm_head.weight) == 16
    policy = load_policy(unmasked(tmp_path / "used"), mask_token="w7")
    assert policy.mask_id == policy.tokenizer.convert_tokens_to_ids("w7") == 11
    assert len(policy.network.lm_head.weight) == 12


@pytest.mark.parametrize("write", [write_llada, write_dream, write_sdar])
def test_the_mask_token_of_a_published_layout_stays_what_it_is(tmp_path, write):
    own = write(tmp_path / "own")["mask_token_id"]
    policy = load_policy(str(tmp_path / "own"), mask_token=EOT)  # for models that have none
    assert policy.mask_id == own
    policy.save(tmp_path / "saved")
    assert load_policy(str(tmp_path / "saved"), mask_token=EOT).mask_id == own


def test_a_published_layout_without_a_mask_token_keeps_the_one_it_was_given(tmp_path):
    write_llada(tmp_path / "none", mask_token_id=None)
    given = load_policy(str(tmp_path / "none"), mask_token=MASK)
    given.save(tmp_path / "saved")
    assert load_policy(str(tmp_path / "saved")).mask_id == given.mask_id
    assert given.mask_id == given.tokenizer.convert_tokens_to_ids(MASK)
    with pytest.raises(
        ConfigError, match=r"model\.load\.mask_token=<m>: a model in its authors' layout gets no"
    ):
        load_policy(str(tmp_path / "none"), mask_token="<m>")


@pytest.mark.parametrize("id", [-1, 1000])
def test_an_id_that_the_model_does_not_have_is_refused(tmp_path, id):
    write_llada(tmp_path / "none", mask_token_id=None)
    write_llada(tmp_path / "wrong", mask_token_id=id)
    with pytest.raises(ConfigError, match=rf"model\.load\.mask_id: mask_token_id is {id}; .* from 0 to \d+"):
        load_policy(str(tmp_path / "none"), mask_id=id)
    with pytest.raises(ConfigError, match=rf"mask_token_id is {id}; "):
        load_policy(str(tmp_path / "wrong"))

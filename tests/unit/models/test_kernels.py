"""liger-kernel, or what stands in for it: it runs on GPUs only."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from checkpoints import write_llada
from fakes import tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.models.kernels import use_liger


@pytest.fixture
def liger(monkeypatch):
    """The calls that a package of this name gets; with a GPU, so to say."""
    calls = []
    package, module = ModuleType("liger_kernel"), ModuleType("liger_kernel.transformers")
    for kind in ("llama", "gemma"):
        setattr(module, f"apply_liger_kernel_to_{kind}", lambda **options: calls.append(options))
    package.transformers = module
    monkeypatch.setitem(sys.modules, "liger_kernel", package)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return calls


def network(kind):
    return SimpleNamespace(config=SimpleNamespace(model_type=kind))


def test_norm_mlp_and_rotary_embedding_but_not_the_head(liger):
    policy = tiny_policy()
    use_liger(policy.network)
    [options] = liger
    assert options.pop("model") is policy.network
    assert options == {
        **dict.fromkeys(("rope", "rms_norm", "swiglu"), True),
        **dict.fromkeys(("cross_entropy", "fused_linear_cross_entropy"), False),
    }


def test_a_published_model_is_given_them_before_its_adapters(liger, tmp_path):
    write_llada(tmp_path)
    policy = load_policy(str(tmp_path), liger=True, lora={"rank": 2, "alpha": 4, "targets": ["q_proj"]})
    [options] = liger
    assert options["model"] is policy.network and policy.has_adapters
    load_policy(str(tmp_path))
    assert len(liger) == 1


def test_where_it_cannot_be(liger, monkeypatch):
    with pytest.raises(ConfigError, match=r"model\.load\.liger: .* this network is gemma"):
        use_liger(network("gemma"))
    with pytest.raises(ConfigError, match="this network is qwen2"):  # an older package
        use_liger(network("qwen2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"model\.load\.liger: .* there is none here"):
        use_liger(network("llama"))
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(ConfigError, match=r"model\.load\.liger: .*pip install liger-kernel"):
        use_liger(network("llama"))

"""Adapters as others saved them: computed as they were trained, or refused in one line."""

import json

import pytest
import torch
from checkpoints import write_dream, write_llada
from safetensors.torch import load_file, save_file

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.models.llada import LLADA
from igpo_lightning.models.skeleton import skeleton_of_saved

TOKENS = torch.arange(4, 16)[None]
EVERYWHERE = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# As the published code calls the same layers; its head is called ff_out, too.
PUBLISHED = ["q_proj", "k_proj", "v_proj", "attn_out", "ff_proj", "up_proj"]
LORA = {"rank": 3, "alpha": 12, "targets": EVERYWHERE}


@torch.no_grad()
def trained(tmp_path, write=write_llada, targets=EVERYWHERE):
    """(folder of an adapter whose every tensor counts, what the adapted model computes)."""
    write(tmp_path / "base")
    policy = load_policy(str(tmp_path / "base"), lora={**LORA, "targets": targets})
    generator = torch.Generator().manual_seed(5)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    policy.save(tmp_path / "adapter")
    return tmp_path / "adapter", policy(TOKENS)


def edit(folder, rename=None, change=None, **config):
    """Rewrite an adapter: its tensors by ``rename`` (None drops one) and ``change``, its config by fields."""
    tensors = load_file(folder / "adapter_model.safetensors")
    if rename:
        tensors = {new: value for name, value in tensors.items() if (new := rename(name)) is not None}
    if change:
        change(tensors)
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / "adapter_model.safetensors"
    )
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))


def published(name):
    """A peft tensor's name in an adapter that was trained on LLaDA's own code."""
    layer, _, part = name.removeprefix("base_model.model.").partition(".lora_")
    own = LLADA.published_name(f"{layer}.weight").removesuffix(".weight")
    return f"base_model.model.{own}.lora_{part}"


@torch.no_grad()
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_authors_names_are_the_same_adapter(tmp_path, dtype):
    folder, expected = trained(tmp_path, targets=EVERYWHERE[:-1])
    edit(folder, published, target_modules=PUBLISHED)
    assert "base_model.model.model.transformer.blocks.1.ff_proj.lora_A.weight" in load_file(
        folder / "adapter_model.safetensors"
    )
    found = load_policy(str(folder), dtype=dtype)(TOKENS).float()
    tolerance = 1e-5 if dtype == "float32" else 0.15
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    assert (load_policy(str(tmp_path / "base"))(TOKENS) - expected).abs().max() > 1


@torch.no_grad()
def test_ff_out_is_the_blocks_layer_and_the_head(tmp_path):
    folder, expected = trained(tmp_path, targets=["down_proj", "lm_head"])
    edit(folder, published, target_modules=["ff_out"])
    torch.testing.assert_close(load_policy(str(folder))(TOKENS), expected, atol=1e-5, rtol=1e-5)
    # Saved without the head, though its config names it: half an adapter.
    edit(folder, lambda name: None if "transformer.ff_out" in name else name)
    with pytest.raises(ConfigError, match=r"2 of 6 tensors are missing, .*transformer\.ff_out\.lora_A"):
        load_policy(str(folder))


@torch.no_grad()
def test_training_goes_on_on_top_of_the_authors_names(tmp_path):
    folder, _ = trained(tmp_path, targets=EVERYWHERE[:-1])
    edit(folder, published, target_modules=PUBLISHED)
    policy = load_policy(str(folder), dtype="bfloat16", lora=LORA)
    for name, weight in policy.named_parameters():
        if weight.requires_grad and "lora_B" in name:
            weight.add_(0.02)
    policy.save(tmp_path / "rl")
    again = load_policy(str(tmp_path / "rl"), dtype="bfloat16")
    torch.testing.assert_close(again(TOKENS), policy(TOKENS), atol=0.1, rtol=0.02)
    skeleton, _ = skeleton_of_saved(str(tmp_path / "rl"), dtype="bfloat16", lora=LORA)
    shapes = {name: p.shape for name, p in skeleton.model().named_parameters()}
    built = load_policy(str(tmp_path / "rl"), dtype="bfloat16", lora=LORA).model
    assert shapes == {name: p.shape for name, p in built.named_parameters()}


@torch.no_grad()
def test_ranks_and_layers_that_differ(tmp_path):
    folder, _ = trained(tmp_path, targets=["q_proj", "up_proj"])

    def widen(tensors):  # rank 5 in one layer
        for name in list(tensors):
            if "layers.1.mlp.up_proj" in name:
                a = "lora_A" in name
                shape = (5, tensors[name].shape[1]) if a else (tensors[name].shape[0], 5)
                tensors[name] = torch.full(shape, 0.1)

    edit(folder, change=widen, rank_pattern={"layers.1.mlp.up_proj": 5}, alpha_pattern={"up_proj": 20})
    stock = load_policy(str(folder))(TOKENS)
    edit(
        folder, published, target_modules=["q_proj", "up_proj"],
        rank_pattern={"blocks.1.up_proj": 5}, alpha_pattern={"up_proj": 20},
    )  # fmt: skip
    torch.testing.assert_close(load_policy(str(folder))(TOKENS), stock, atol=1e-5, rtol=1e-5)
    edit(folder, lambda name: None if ".blocks.0." in name else name, layers_to_transform=[1])
    load_policy(str(folder))


@torch.no_grad()
def test_rank_stabilised_scaling_counts(tmp_path):
    folder, plain = trained(tmp_path, targets=["q_proj"])
    edit(folder, use_rslora=True)
    stabilised = load_policy(str(folder))(TOKENS)
    edit(folder, use_rslora=False, lora_alpha=LORA["alpha"] * LORA["rank"] ** 0.5)
    torch.testing.assert_close(stabilised, load_policy(str(folder))(TOKENS), atol=1e-5, rtol=1e-5)
    assert (stabilised - plain).abs().max() > 0.1


def shrink(tensors):
    name = next(name for name in tensors if "lora_A" in name)
    tensors[name] = tensors[name][:2]


CASES = {
    "a layer is missing": ({"rename": lambda n: None if "layers.1." in n else n}, "14 of 28 tensors"),
    "every B is missing": ({"rename": lambda n: None if "lora_B" in n else n}, "14 of 28 tensors"),
    "names of nobody": ({"rename": lambda n: n.replace("layers", "block")}, "28 of 28 tensors are missing"),
    "a tensor too many": (
        {"change": lambda t: t.update({"base_model.model.model.norm.weight": torch.ones(32)})},
        r"1 belong to no layer that it names, e\.g\. base_model\.model\.model\.norm\.weight",
    ),
    "the rank": ({"r": 4}, r"28 have another shape, e\.g\. .*: \(3, 48\), not \(4, 48\)"),
    "one shape": ({"change": shrink}, "1 have another shape"),
    "targets that are nowhere": ({"target_modules": ["c_attn"]}, "28 belong to no layer that it names"),
    "fewer targets than tensors": ({"target_modules": ["q_proj"]}, "24 belong to no layer"),
    "no scale": ({"lora_alpha": None}, "target_modules and lora_alpha are needed"),
    "a scale in words": ({"lora_alpha": "16"}, "target_modules and lora_alpha are needed"),
    "no targets": ({"target_modules": None}, "target_modules and lora_alpha are needed"),
    "another kind": ({"peft_type": "IA3"}, "peft_type=IA3; only LORA is supported"),
    "DoRA": ({"use_dora": True}, "use_dora=true, which is not supported; merge the adapter"),
    "whole layers": ({"modules_to_save": ["lm_head"]}, r'modules_to_save=\["lm_head"\], which is not'),
    "biases": ({"bias": "lora_only"}, 'bias="lora_only", which is not supported'),
    "PiSSA": ({"init_lora_weights": "pissa_niter_4"}, "=pissa_niter_4: .* changed base weights"),
    "a later peft's": ({"use_something_new": {"a": 1}}, "use_something_new=.*, which is not supported"),
}  # fmt: skip


@pytest.mark.parametrize("edits, said", CASES.values(), ids=CASES)
def test_what_does_not_fit_is_refused(tmp_path, edits, said):
    folder, _ = trained(tmp_path)
    edit(folder, **edits)
    with pytest.raises(ConfigError, match=said) as refused:
        load_policy(str(folder))
    assert "adapter" in str(refused.value) and "\n" not in str(refused.value)


def test_another_networks_adapter(tmp_path):
    folder, _ = trained(tmp_path)
    write_dream(tmp_path / "dream")  # fewer K/V heads
    edit(folder, base_model_name_or_path=str(tmp_path / "dream"))
    with pytest.raises(ConfigError, match=r"4 have another shape, e\.g\. .*k_proj\.lora_B"):
        load_policy(str(folder))


def test_a_damaged_adapter_file(tmp_path):
    folder, _ = trained(tmp_path)
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"adapter_model\.safetensors is cut short"):
        load_policy(str(folder))
    file.rename(folder / "adapter_model.bin")
    with pytest.raises(ConfigError, match=r"has no adapter_model\.safetensors"):
        load_policy(str(folder))
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"adapter_config\.json is no adapter's config"):
        load_policy(str(folder))


@torch.no_grad()
def test_a_folder_without_a_tokenizer_takes_the_bases(tmp_path):
    folder, expected = trained(tmp_path)
    for file in folder.iterdir():
        if not file.name.startswith("adapter"):
            file.unlink()
    policy = load_policy(str(folder))
    torch.testing.assert_close(policy(TOKENS), expected, atol=1e-5, rtol=1e-5)
    assert len(policy.tokenizer) == len(load_policy(str(tmp_path / "base")).tokenizer)
    assert skeleton_of_saved(str(folder))[1] is not None


@pytest.mark.parametrize("gone", ["/nowhere/at/all", "runs/sft/model", "nobody/no-such-model"])
def test_a_base_that_is_gone_is_named(tmp_path, gone):
    folder, _ = trained(tmp_path)
    edit(folder, base_model_name_or_path=gone)
    with pytest.raises(ConfigError, match=gone):
        load_policy(str(folder))


def test_a_model_and_an_adapter_in_one_folder(tmp_path):
    folder, _ = trained(tmp_path)
    (folder / "model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="two sets of weights, an adapter and a whole model"):
        load_policy(str(folder))

"""Weight files that are damaged, incomplete or there twice: one line each."""

import json
import os
import shutil

import pytest
import torch
from checkpoints import write_dream, write_llada
from safetensors.torch import load_file, save_file

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.models.skeleton import skeleton_of_saved
from igpo_lightning.sampling.canvas import completion_texts

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 4976698672\n"


@pytest.fixture
def folder(tmp_path):
    write_llada(tmp_path / "model")
    return tmp_path / "model"


def index_of(folder, **changed):
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"] = {**index["weight_map"], **changed}
    (folder / INDEX).write_text(json.dumps(index))


def whole(folder):
    """The same weights in one file, without an index."""
    tensors = {**load_file(folder / FIRST), **load_file(folder / SECOND)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder, said):
    for load in (load_policy, skeleton_of_saved):  # the run, and its dry run
        with pytest.raises(ConfigError, match=said) as error:
            load(str(folder))
        assert "\n" not in str(error.value) and str(error.value).startswith("model.path: ")


@pytest.mark.parametrize("content, said", [
    (lambda data: data[: len(data) // 2], "is cut short, .* bytes are there; download it again"),
    (lambda data: data[:300], "is cut short"),
    (lambda data: data[:-1], "is cut short"),
    (lambda data: b"", "is empty; download it again"),
    (lambda data: data[:5], "is damaged or no safetensors file"),
    (lambda data: POINTER.encode(), "is a Git LFS pointer, not the weights themselves; run git lfs pull"),
    (lambda data: b"<!DOCTYPE html><html>not found</html>" * 9, "is damaged or no safetensors file"),
    (lambda data: data + b"\0" * 10, "is damaged, 10 bytes too long"),
    (lambda data: data[:8] + b"x" * (len(data) - 8), "is damaged .its header."),
])  # fmt: skip
@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_broken_shard(folder, name, content, said):
    (folder / name).write_bytes(content((folder / name).read_bytes()))
    refused(folder, f"{name} {said}")


def test_shards_that_are_not_there(folder):
    (folder / SECOND).unlink()
    refused(folder, f"{INDEX} names 1 files that are not there, e.g. {SECOND}; download")


def test_an_index_that_is_broken_or_wrong(folder):
    index_of(folder, **{"model.transformer.wte.weight": FIRST, "model.transformer.ln_f.weight": FIRST})
    refused(folder, r"safetensors lacks the tensor model\.transformer\.\w+\.weight that")
    (folder / INDEX).write_text('{"metadata": {}}')
    refused(folder, f"{INDEX} is damaged")
    (folder / INDEX).unlink()
    refused(folder, f"holds {FIRST}, a part of its weights, but no {INDEX}")


def test_two_sets_of_weights(folder):
    whole(folder)
    refused(folder, f"two sets of weights, {INDEX} and model.safetensors")
    (folder / INDEX).unlink()
    refused(folder, f"two sets of weights, model.safetensors and {FIRST}")
    (folder / FIRST).unlink()
    (folder / SECOND).unlink()
    load_policy(str(folder))
    shutil.copy(folder / "model.safetensors", folder / "model.fp16.safetensors")  # a variant
    load_policy(str(folder))


def test_pickles_are_never_read(folder):
    for name in (FIRST, SECOND):
        (folder / name).with_suffix(".bin").write_bytes(b"beside the safetensors it is no matter")
    load_policy(str(folder))
    for name in (FIRST, SECOND, INDEX):
        (folder / name).unlink()
    torch.save(os.getcwd, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is a pickle, which could run code"):
        load_policy(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ConfigError, match="so it holds no weights"):
        load_policy(str(folder))
    assert skeleton_of_saved(str(folder))[0].layers == 2  # a dry run needs none


def test_shards_may_have_other_names(folder):
    before = load_policy(str(folder))(torch.arange(4, 16)[None])
    names = {name: f"model.safetensors-0000{i}-of-00002.safetensors" for i, name in ((1, FIRST), (2, SECOND))}
    for old, new in names.items():
        (folder / old).rename(folder / new)
    index = json.loads((folder / INDEX).read_text())["weight_map"]
    index_of(folder, **{tensor: names[file] for tensor, file in index.items()})
    assert torch.equal(load_policy(str(folder))(torch.arange(4, 16)[None]), before)


@pytest.mark.parametrize("name, shape", [
    ("model.transformer.blocks.1.k_proj.bias", (32,)),
    ("model.transformer.blocks.7.q_proj.weight", (32, 32)),
    ("model.layers.0.mlp.experts.weight", (4, 4)),
])  # fmt: skip
def test_tensors_that_the_network_has_no_place_for(folder, name, shape):
    tensors = load_file(folder / FIRST)
    save_file({**tensors, name: torch.zeros(shape)}, folder / FIRST, metadata={"format": "pt"})
    index_of(folder, **{name: FIRST})
    with pytest.raises(ConfigError, match=r"hold 1 tensors that its config\.json has no place for"):
        load_policy(str(folder))


def test_a_head_that_is_said_to_be_tied_and_is_not(tmp_path):
    write_llada(tmp_path / "tied", weight_tying=True)
    head = {"model.transformer.ff_out.weight": torch.ones(262, 32)}
    file = tmp_path / "tied" / FIRST
    save_file({**load_file(file), **head}, file, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="ties the output head to the embeddings, but the weights hold two"):
        load_policy(str(tmp_path / "tied"))


def test_rotary_frequencies_may_be_saved_along(folder):
    tensors = load_file(folder / FIRST)
    extra = {"model.transformer.rotary_emb.inv_freq": torch.zeros(4)}
    save_file({**tensors, **extra}, folder / FIRST, metadata={"format": "pt"})
    load_policy(str(folder))


def test_ids_beyond_the_tokenizer_have_no_text(tmp_path):
    write_dream(tmp_path / "dream", vocab_size=280)  # the tokenizer has 262
    policy = load_policy(str(tmp_path / "dream"))
    known = policy.tokenizer.decode([9, 12])
    assert completion_texts(policy, torch.tensor([[9, 262, 279, 12]])) == [known]

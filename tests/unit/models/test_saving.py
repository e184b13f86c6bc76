"""What is loaded from a published layout is written in it again."""

import json
import sys
from contextlib import contextmanager

import pytest
import torch
from checkpoints import GROUPED, write_dream, write_llada
from fakes import tiny_policy
from safetensors.torch import load_file

from igpo_lightning.models import load_policy, sharding
from igpo_lightning.models.dream import DREAM
from igpo_lightning.models.llada import LLADA
from igpo_lightning.models.published import Published

LORA = {"rank": 2, "alpha": 4, "targets": ["q_proj", "down_proj"]}
TOKENS = torch.arange(4, 16)[None]


def tensors(folder):
    return {name: t for file in folder.glob("*.safetensors") for name, t in load_file(file).items()}


def json_of(path):
    return json.loads(path.read_text())


def trained(path, value=0.05, **options):
    """A policy with an adapter that has moved."""
    policy = load_policy(str(path), lora=LORA, **options)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.requires_grad and "lora_B" in name:
                weight.fill_(value)
    return policy


@torch.no_grad()
@pytest.mark.parametrize("write", [write_llada, write_dream], ids=["LLaDA", "Dream"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_round_trip_changes_no_bit(tmp_path, write, dtype):
    config = write(tmp_path / "a", sizes=GROUPED, torch_dtype=dtype)
    policy = load_policy(str(tmp_path / "a"), dtype=dtype)
    policy.save(tmp_path / "b", max_shard_size="20KB")
    before, after = tensors(tmp_path / "a"), tensors(tmp_path / "b")
    assert before.keys() == after.keys()
    assert all(before[n].dtype == after[n].dtype and torch.equal(before[n], after[n]) for n in before)
    index = json_of(tmp_path / "b" / "model.safetensors.index.json")["weight_map"]
    assert set(index) == set(before) and len(set(index.values())) > 1
    assert json_of(tmp_path / "b" / "config.json") == config
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()
    again = load_policy(str(tmp_path / "b"), dtype=dtype)
    assert torch.equal(again(TOKENS), policy(TOKENS)) and again.stop_ids == policy.stop_ids
    again.save(tmp_path / "c")
    assert all(torch.equal(before[n], t) for n, t in tensors(tmp_path / "c").items())


def test_another_dtype_is_said_in_the_config(tmp_path):
    write_llada(tmp_path / "a")
    load_policy(str(tmp_path / "a"), dtype="bfloat16").save(tmp_path / "b")
    assert json_of(tmp_path / "b" / "config.json")["torch_dtype"] == "bfloat16"


@torch.no_grad()
def test_tied_embeddings_are_written_once(tmp_path):
    write_llada(tmp_path / "a", weight_tying=True)
    policy = load_policy(str(tmp_path / "a"))
    policy.save(tmp_path / "b")
    assert tensors(tmp_path / "a").keys() == tensors(tmp_path / "b").keys()
    assert "model.transformer.ff_out.weight" not in tensors(tmp_path / "b")
    assert torch.equal(load_policy(str(tmp_path / "b"))(TOKENS), policy(TOKENS))


def test_code_in_the_folder_is_copied_and_not_run(tmp_path):
    write_llada(tmp_path / "a")
    load_policy(str(tmp_path / "a")).save(tmp_path / "b")
    for name in ("modeling_llada.py", "configuration_llada.py"):
        assert "code of a checkpoint was run" in (tmp_path / "b" / name).read_text()
    load_policy(str(tmp_path / "b"))


@pytest.mark.parametrize("source", ["hub", "folder without its code"])
def test_code_on_the_hub_is_named_with_its_repository(tmp_path, source):
    tokenizer = {
        "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
        "errors": "replace",
    }
    config = {
        "auto_map": {"AutoModel": "modeling_dream.DreamModel", "AutoConfig": "else/where--module.Config"},
        "_name_or_path": "someone/their-dream",
    }
    published = Published(
        DREAM,
        "someone/their-dream" if source == "hub" else str(tmp_path),
        config,
        {"tokenizer_config.json": json.dumps(tokenizer).encode()},
    )
    published.write({"lm_head.weight": torch.zeros(2, 2)}, tmp_path / "out")
    assert json_of(tmp_path / "out" / "config.json") == {
        **config,
        "auto_map": {
            "AutoModel": "someone/their-dream--modeling_dream.DreamModel",
            "AutoConfig": "else/where--module.Config",
        },
    }
    assert json_of(tmp_path / "out" / "tokenizer_config.json") == {
        "auto_map": {"AutoTokenizer": ["someone/their-dream--tokenization_dream.DreamTokenizer", None]},
        "errors": "replace",
    }
    assert config["auto_map"]["AutoModel"] == "modeling_dream.DreamModel"  # the original is as it was


def test_names_go_there_and_back(real_data):
    """Every published name is some stock name's, and no two share one."""
    import re

    names = json_of(real_data("llada") / "model.safetensors.index.json")["weight_map"]
    stock = set()
    for name in names:
        hits = [re.sub(old, new, name) for old, new in LLADA.to_stock.items() if re.match(old, name)]
        assert len(hits) == 1 and LLADA.published_name(hits[0]) == name
        stock.update(hits)
    assert len(stock) == len(names) == 291


@torch.no_grad()
@pytest.mark.parametrize("write", [write_llada, write_dream], ids=["LLaDA", "Dream"])
def test_an_adapter_on_a_published_base_loads_again(tmp_path, write, monkeypatch):
    write(tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    policy = trained("base")  # relative: the adapter must be found from elsewhere, too
    policy.save("adapter")
    monkeypatch.chdir(tmp_path.parent)
    assert not list((tmp_path / "adapter").glob("model*")) and tensors(tmp_path / "adapter")
    again = load_policy(str(tmp_path / "adapter"))
    torch.testing.assert_close(again(TOKENS), policy(TOKENS), atol=1e-5, rtol=1e-5)
    assert again.shifted == policy.shifted and again.stop_ids == policy.stop_ids
    assert (again(TOKENS) - load_policy(str(tmp_path / "base"))(TOKENS)).abs().max() > 1e-2


@torch.no_grad()
def test_merging_writes_a_whole_model_and_leaves_the_policy_alone(tmp_path):
    config = write_llada(tmp_path / "base", sizes=GROUPED)
    policy = trained(tmp_path / "base")
    logits = policy(TOKENS)
    state = {name: t.clone() for name, t in policy.state_dict().items()}
    policy.save(tmp_path / "merged", merge=True)
    assert torch.equal(policy(TOKENS), logits) and policy.has_adapters
    assert all(torch.equal(state[name], t) for name, t in policy.state_dict().items())
    assert {n for n, p in policy.named_parameters() if p.requires_grad} == {n for n in state if "lora_" in n}
    assert json_of(tmp_path / "merged" / "config.json") == config
    base, merged = tensors(tmp_path / "base"), tensors(tmp_path / "merged")
    assert merged.keys() == base.keys()
    changed = {name.split(".")[-2] for name in base if not torch.equal(base[name], merged[name])}
    assert changed == {"q_proj", "ff_out"}  # down_proj, as LLaDA calls it
    whole = load_policy(str(tmp_path / "merged"))
    assert not whole.has_adapters
    torch.testing.assert_close(whole(TOKENS), logits, atol=1e-5, rtol=1e-5)
    policy.save(tmp_path / "adapter")
    load_policy(str(tmp_path / "adapter")).save(tmp_path / "loaded")
    assert all(torch.equal(merged[name], t) for name, t in tensors(tmp_path / "loaded").items())


class ZeRO3:
    """Of DeepSpeed, what puts a split parameter together, as far as saving sees it."""

    def __init__(self, policy):
        self.whole, self.gathered = {}, []
        for name, parameter in policy.model.named_parameters():
            parameter.ds_id = len(self.whole)
            self.whole[name] = parameter.data
            parameter.data = parameter.data.new_empty(0)
        self.names = list(self.whole)
        self.zero = self

    @contextmanager
    def GatheredParameters(self, parameters):
        for parameter in parameters:
            self.gathered.append(self.names[parameter.ds_id])
            parameter.data = self.whole[self.names[parameter.ds_id]]
        yield
        for parameter in parameters:
            parameter.data = parameter.data.new_empty(0)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("rank", [0, 1])
def test_split_weights_are_copied_on_the_first_process_alone(tmp_path, monkeypatch, lora, rank):
    """All take part in gathering; eight copies of 16 GB fit no host. Frozen weights stay split."""
    tiny_policy().save(tmp_path / "base")
    policy = load_policy(str(tmp_path / "base"), lora=lora)
    trained = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    expected = {name: p.detach().clone() for name, p in policy.model.named_parameters() if p.requires_grad}
    split = ZeRO3(policy)
    monkeypatch.setitem(sys.modules, "deepspeed", split)
    monkeypatch.setattr(sharding, "rank", lambda: rank)
    copies = []
    clone = torch.Tensor.clone
    monkeypatch.setattr(
        torch.Tensor, "clone", lambda self, **o: copies.append(self.numel()) or clone(self, **o)
    )
    state = sharding.full_state_dict(policy)
    assert split.gathered == trained and (len(trained) < len(split.whole)) == (lora is not None)
    if rank:
        assert state == {} and copies == []
    else:
        for name in trained:
            torch.testing.assert_close(state[name], expected[name], rtol=0, atol=0)

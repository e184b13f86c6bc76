import json
import shutil

import pytest
from fakes import LORA, tiny_policy

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.prompts import PromptFormat
from igpo_lightning.evaluation.manifest import Manifest, model_identity, prompt_identity
from igpo_lightning.models import load_policy

IDENTITY = {"model": {"sha256": "a" * 64}, "seed": 0, "benchmarks": {"amc": {"temperature": 0.1}}}


def manifest(**changes):
    return Manifest({**IDENTITY, **changes}, {"model": "m"}, {"amc": 5}, sessions=[{"seconds": 1}])


def test_it_goes_on_with_further_benchmarks(tmp_path):
    manifest().save(tmp_path)
    more = Manifest(
        {**IDENTITY, "benchmarks": {"gsm8k": {"temperature": 0}}}, {}, {"gsm8k": 3}, sessions=[{}]
    )
    joined = more.joined(Manifest.load(tmp_path), tmp_path)
    assert list(joined.identity["benchmarks"]) == ["amc", "gsm8k"] == list(joined.expected)
    assert joined.sessions == [{"seconds": 1}, {}]


def test_what_differs_is_named(tmp_path):
    other = manifest(model={"sha256": "b" * 64}, seed=1)
    with pytest.raises(ConfigError, match=r"model\.sha256 is a{12}… there, b{12}… now; seed is 0 there, 1"):
        other.joined(manifest(), tmp_path)
    hotter = manifest(benchmarks={"amc": {"temperature": 1.0}})
    with pytest.raises(ConfigError, match=r"benchmarks.amc.temperature is 0.1 there, 1.0 now"):
        hotter.joined(manifest(), tmp_path)


def test_somebody_elses_files(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"it has results.json but no manifest.json"):
        manifest().joined(Manifest.load(tmp_path), tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(ConfigError, match="not a manifest of an evaluation"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("changes", [
    {"identity": None}, {"identity": {"seed": 0}}, {"expected": [3]}, {"expected": {"amc": "3"}},
    {"sessions": None}, {"asked": {"amc": {"last": 3}}},
])  # fmt: skip
def test_a_file_with_other_things_in_its_fields_is_no_manifest(tmp_path, changes):
    manifest().save(tmp_path)
    known = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**known, **changes}))
    with pytest.raises(ConfigError, match=r"manifest\.json: not a manifest of an evaluation"):
        Manifest.load(tmp_path)


def test_one_of_an_older_version_covers_all_that_is_there(tmp_path):
    manifest().save(tmp_path)
    known = json.loads((tmp_path / "manifest.json").read_text())
    del known["asked"]
    (tmp_path / "manifest.json").write_text(json.dumps(known))
    assert Manifest.load(tmp_path).covers("amc", 900, 7)


def test_a_model_is_its_weights(tmp_path):
    tiny_policy().save(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    tiny_policy(seed=1).save(tmp_path / "c")
    a, b, c = (model_identity(str(tmp_path / name)) for name in "abc")
    assert a == b != c and a["adapters_sha256"] == []
    (tmp_path / "a" / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no safetensors file in"):
        model_identity(str(tmp_path / "a"))


def test_an_adapter_counts_with_its_base(tmp_path):
    tiny_policy().save(tmp_path / "base")
    load_policy(str(tmp_path / "base"), lora=LORA).save(tmp_path / "adapter")
    found = model_identity(str(tmp_path / "adapter"))
    assert found["sha256"] == model_identity(str(tmp_path / "base"))["sha256"]
    assert len(found["adapters_sha256"]) == 1


def test_a_prompt_is_its_words_and_the_chat_template():
    tokenizer = tiny_policy().tokenizer
    plain = prompt_identity(PromptFormat("a"), tokenizer)
    assert plain == prompt_identity(PromptFormat("b"), tokenizer)
    assert plain != prompt_identity(PromptFormat("a", user="Q: {question}"), tokenizer)
    tokenizer.chat_template = "{{ messages }}"
    assert prompt_identity(PromptFormat("a"), tokenizer)["chat_template_sha256"] is not None

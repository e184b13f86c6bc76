"""A checkpoint, or what a run ended with, as a model folder."""

import json

import pytest
import torch
from fakes import TINY_RL, compose, tiny_policy
from huggingface_hub import ModelCard
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.reporting.summary import Summary
from igpo_lightning.training.checkpoint_files import numbered
from igpo_lightning.training.exporting import read_weights, run
from igpo_lightning.training.model_card import write_card
from igpo_lightning.training.run import run as train

LORA = "model.lora={rank: 2, alpha: 4, targets: [q_proj, down_proj]}"
TOKENS = torch.arange(4, 16)[None]


@pytest.fixture(scope="module", params=["whole", "lora"])
def trained(request, tmp_path_factory):
    """The folder of a run that has both checkpoints and a model."""
    folder = tmp_path_factory.mktemp(request.param)
    tiny_policy().save(folder / "base")
    keep = [
        "+callbacks.checkpoint._target_=igpo_lightning.training.checkpoints.Checkpoints",
        f"+callbacks.checkpoint.folder={folder}/run/checkpoints",
        "+callbacks.checkpoint.every=1",
    ]
    reward = ["~reward.terms", "~reward.correctness", "~reward.workers", "reward._target_=fakes.HashReward"]
    lora = [LORA] if request.param == "lora" else []
    base = f"model.path={folder}/base"
    train(compose(folder / "run", "algo=grpo", *TINY_RL, *keep, *reward, base, *lora, "report=false"))
    return folder / "run"


def exported(trained, out, **changes):
    settings = {
        "checkpoint": None, "merge": False, "dtype": None, "license": None, "push": None, **changes
    }  # fmt: skip
    run(OmegaConf.create({"run": str(trained), "output_dir": str(out), **settings}))
    return load_policy(str(out))


def test_what_the_run_ended_with(trained, tmp_path):
    final = load_policy(str(trained / "model"))(TOKENS)
    torch.testing.assert_close(exported(trained, tmp_path / "a", merge=True)(TOKENS), final)
    assert not (tmp_path / "a" / "adapter_config.json").exists()


def test_an_adapter_stays_one_unless_it_is_merged(trained, tmp_path):
    exported(trained, tmp_path / "a")
    exported(trained, tmp_path / "b", checkpoint="newest")
    names = [{path.name for path in (tmp_path / name).iterdir()} - {"tokenizer.json"} for name in "ab"]
    assert ("adapter_config.json" in names[0]) == (trained.parent.name.startswith("lora"))
    assert ("model.safetensors" in names[0]) == (not trained.parent.name.startswith("lora"))
    assert names[0] == names[1] >= {"README.md", "lineage.json", "training_config.yaml"}


@pytest.mark.parametrize("merge", [False, True])
def test_a_checkpoint(trained, tmp_path, merge):
    newest = numbered(trained / "checkpoints")[0]
    policy = exported(trained, tmp_path / "a", checkpoint="newest", merge=merge)
    adapters = any("lora" in name for name in read_weights(newest))
    assert (tmp_path / "a" / "adapter_config.json").exists() == (adapters and not merge)
    other = exported(trained, tmp_path / "b", checkpoint=str(numbered(trained / "checkpoints")[1]))
    final = load_policy(str(trained / "model"))(TOKENS)
    distances = [(logits - final).abs().max().item() for logits in (policy(TOKENS), other(TOKENS))]
    assert distances[0] < 1e-5 < distances[1]  # the newest is what the run ended with


def test_nothing_is_written_over_and_nothing_made_up(trained, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="the folder is not empty"):
        exported(trained, tmp_path / "full")
    with pytest.raises(ConfigError, match=r"no config\.yaml; give the folder of a training run"):
        exported(tmp_path, tmp_path / "a")
    (tmp_path / "config.yaml").write_text("model: {load: {dtype: float32}}\ntitle: of a site\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: not the config of a run: it has no algo\.name"):
        exported(tmp_path, tmp_path / "a")
    with pytest.raises(ConfigError, match=r"no such file; give a checkpoint, or best or newest"):
        exported(trained, tmp_path / "a", checkpoint=str(tmp_path / "absent.ckpt"))
    for hub_id, why in {"a/b/c": "give push=NAME/MODEL", "a b/c": "give", "mine": "whose?"}.items():
        with pytest.raises(ConfigError, match=f"push={hub_id}: .*{why}"):
            exported(trained, tmp_path / "a", push=hub_id)
    assert not (tmp_path / "a").exists()


def test_the_card_says_what_it_is(trained, tmp_path):
    exported(trained, tmp_path / "a", license="apache-2.0")
    card, cfg = ModelCard.load(tmp_path / "a" / "README.md"), OmegaConf.load(trained / "config.yaml")
    assert card.data.license == "apache-2.0" and card.data.library_name == "igpo_lightning"
    assert card.data.base_model is None  # a folder here is no model of the hub
    assert {"masked-diffusion", "grpo"} <= set(card.data.tags)
    summary = Summary.load(trained)
    [result] = card.data.eval_results
    assert result.metric_value == round(summary.stages[-1].test.value, 4)
    assert f"n = {summary.stages[-1].test.n}" in card.text
    assert f"| `algo.num_generations` | `{cfg.algo.num_generations}` |" in card.text
    provenance = json.loads((trained / "provenance.json").read_text())
    assert provenance["git"]["commit"] in card.text
    kept = OmegaConf.load(tmp_path / "a" / "training_config.yaml")
    assert kept.algo.name == "grpo"


def test_a_base_of_the_hub_is_named(trained, tmp_path, monkeypatch):
    cfg = OmegaConf.load(trained / "config.yaml")
    cfg.model.path = "GSAI-ML/LLaDA-8B-Instruct"
    write_card(trained, cfg, tmp_path, None)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.base_model == "GSAI-ML/LLaDA-8B-Instruct"
    assert "Not stated" in card.text


def test_a_resumed_run_was_begun_when_it_was_first_started(trained, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    record = json.loads((trained / "provenance.json").read_text()) | {"started": "2031", "command": "go on"}
    record["earlier"] = [{"started": year, "command": f"start of {year}"} for year in ("2029", "2030")]
    (run / "provenance.json").write_text(json.dumps(record))
    write_card(run, OmegaConf.load(trained / "config.yaml"), tmp_path, None)
    text = ModelCard.load(tmp_path / "README.md").text
    assert "Begun 2029, resumed 2030, resumed 2031; igpo_lightning" in text
    assert "```bash\nstart of 2029\nstart of 2030\ngo on\n```" in text


def test_a_push_goes_to_a_private_repository(trained, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi.create_repo", lambda self, name, **how: calls.append((name, how))
    )
    monkeypatch.setattr(
        "huggingface_hub.HfApi.upload_folder",
        lambda self, repo_id, folder_path: calls.append((repo_id, {p.name for p in folder_path.iterdir()})),
    )
    exported(trained, tmp_path / "a", push="me/mine")
    (name, how), (again, files) = calls
    assert name == again == "me/mine" and how == {"private": True, "exist_ok": True}
    assert {"README.md", "config.json", "lineage.json"} <= files or "adapter_config.json" in files


class Unreachable(Exception):
    """As an HTTP library has it, of no common base."""


@pytest.mark.parametrize("kind", [Unreachable, ConnectionError])
def test_a_push_that_fails_is_one_line_and_the_model_stays(trained, tmp_path, monkeypatch, kind):
    def unreachable(*args, **how):
        raise kind("no route to the hub\nat all")

    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", unreachable)
    with pytest.raises(ConfigError, match=r"push=me/mine: no route to the hub; the model is in") as error:
        exported(trained, tmp_path / "a", push="me/mine")
    assert "\n" not in str(error.value)
    load_policy(str(tmp_path / "a"))

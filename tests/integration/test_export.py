"""A checkpoint, or what a run ended with, as a model folder."""

import pytest
import torch
from fakes import TINY_RL, compose, tiny_policy
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.models import load_policy
from igpo_lightning.training.checkpoints import numbered
from igpo_lightning.training.exporting import read_weights, run
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
    settings = {"checkpoint": None, "merge": False, "dtype": None, **changes}
    run(OmegaConf.create({"run": str(trained), "output_dir": str(out), **settings}))
    return load_policy(str(out))


def test_what_the_run_ended_with(trained, tmp_path):
    final = load_policy(str(trained / "model"))(TOKENS)
    torch.testing.assert_close(exported(trained, tmp_path / "a", merge=True)(TOKENS), final)
    assert not (tmp_path / "a" / "adapter_config.json").exists()


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
    with pytest.raises(ConfigError, match="no such file"):
        exported(trained, tmp_path / "a", checkpoint=str(tmp_path / "absent.ckpt"))
    assert not (tmp_path / "a").exists()

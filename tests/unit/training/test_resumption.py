"""What may change in the config of a run that goes on."""

import pytest
from fakes import TINY_RL, compose
from omegaconf import OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.training.resumption import differences, is_finished, resumption_of


@pytest.fixture(scope="module")
def first():
    """The config of a run of the RL stage, resolved, in a folder that is yet to be named."""
    return OmegaConf.to_yaml(compose("FOLDER", "algo=igpo", *TINY_RL), resolve=True)


@pytest.fixture
def resumed(tmp_path, first):
    """``resumed(*overrides)``: going on in the folder of a run that had none of them."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(first.replace("FOLDER", str(tmp_path / "run")))

    def resume(*overrides, folder="run"):
        return compose(tmp_path / folder, "algo=igpo", *TINY_RL, "resume=auto", *overrides)

    return resume


@pytest.mark.parametrize("override", [
    "algo.optimizer.lr=0.5", "algo.optimizer.weight_decay=0", "algo.optimizer.betas=[0.8,0.9]",
    "+algo.optimizer.eps=1e-6", "algo.trainer.gradient_clip_val=3", "algo.loss.beta=0.5",
    "algo.loss.epsilon=0.1",
    "algo.rollouts=7", "algo.validate_every=2", "model.rl.lr=0.5",
    "algo.scheduler={_target_: igpo_lightning.training.schedulers.warmup_cosine, _partial_: true, warmup: 1}",
])  # fmt: skip
def test_how_it_is_learned_is_applied(resumed, override):
    changes = resumption_of(resumed(override)).changes
    key = override.lstrip("+").partition("=")[0].replace("model.rl.lr", "algo.optimizer.lr")
    assert changes and all(change.key.startswith(key) for change in changes)


@pytest.mark.parametrize("override", [
    "logger=csv", "callbacks=default", "hardware=cpu_ddp", "report=false", "evaluate=false",
    "algo.prompts_per_micro_batch=4", "algo.rows_per_forward=7", "data.eval_batch=2", "model.name=other",
    'warm_start=["algo.steps=3"]',
])  # fmt: skip
def test_where_it_is_computed_is_no_change(resumed, override):
    assert resumption_of(resumed(override)).changes == ()


@pytest.mark.parametrize("override, said", [
    ("seed=4", "seed was 0, and is 4"),
    ("data.source.train_size=20", "data.source.train_size was 24, and is 20"),
    ("data.val_size=2", "data.val_size was 4, and is 2"),
    ("algo.prompts_per_rollout=8", "algo.prompts_per_rollout was 4, and is 8"),
    ("algo.num_generations=2", "algo.num_generations was 4, and is 2"),
    ("algo.num_iterations=1", "algo.num_iterations was 2, and is 1"),
    ("algo.inpaint.ratio=[0.1,0.2]", r"algo.inpaint.ratio was \[0.2, 0.6\], and is \[0.1, 0.2\]"),
    ("algo.token_filter.top_entropy_quantile=1", "algo.token_filter.top_entropy_quantile was 0.2"),
    ("sampler.temperature=0.7", "sampler.temperature was"),
    ("prompt=igpo", "a checkpoint of another run: prompt."),
    ("reward=math", "a checkpoint of another run: reward."),
    ("algo/logprobs=mean_field", "a checkpoint of another run: algo.logprobs"),
    ("algo.optimizer._target_=torch.optim.SGD", "algo.optimizer._target_ was igpo_lightning."),
    ("model.create.hidden_size=32", "a checkpoint of another model: model.create.hidden_size was 16"),
    ("algo=grpo", "a checkpoint of algo=igpo, another algorithm than grpo"),
    ("algo=sft", "a checkpoint of algo=igpo, another algorithm than sft"),
])  # fmt: skip
def test_what_is_seen_and_sampled_is_refused(resumed, override, said):
    overrides = [override]
    cfg = resumed(*overrides) if override != "algo=sft" else None
    if cfg is None:  # it has none of the keys of TINY_RL
        before = resumed()
        cfg = compose(before.output_dir, "algo=sft", "resume=auto")
    with pytest.raises(ConfigError, match=f"^resume=.*config.yaml: .*{said}"):
        resumption_of(cfg)


def test_a_moved_folder_is_the_same_run(resumed, tmp_path):
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert resumption_of(resumed(folder="elsewhere")).changes == ()


def test_a_value_that_others_repeat_counts_once(resumed, tmp_path):
    before = OmegaConf.to_container(OmegaConf.load(tmp_path / "run" / "config.yaml"))
    cfg = resumed("seed=5")
    assert [change.key for change in differences(before, cfg)] == ["seed"]
    assert cfg.model.create.seed == 5
    cfg = resumed("model.create.seed=5")  # the one place that does not follow
    assert [change.key for change in differences(before, cfg)] == ["model.create.seed"]
    cfg = resumed("model.rl.num_iterations=3", "algo.num_iterations=2")
    assert differences(before, cfg) == []


def test_a_run_of_before_there_were_pieces_had_their_defaults(tmp_path):
    """A checkpoint that does not name a reference kept it; one that moves is another run."""
    cfg = compose(tmp_path, "algo=igpo")
    before = OmegaConf.to_container(cfg, resolve=True)
    for piece in ("reference", "select", "credit"):
        del before["algo"][piece]
    assert differences(before, cfg) == []
    moved = compose(tmp_path, "algo=igpo", "algo/reference=moved")
    assert differences(before, moved)[0].key == "algo.reference._target_"


@pytest.mark.parametrize(("piece", "key", "default", "other"), [
    ("algo.loss", "kl_level", "token", "sequence"),
    ("sampler", "guidance", 0.0, 0.5),
    ("reward.terms.accuracy", "weight", 1.0, 2.0),
])  # fmt: skip
def test_a_run_of_before_a_key_did_as_its_default_says(tmp_path, piece, key, default, other):
    """An upgrade half way: what it adds is harmless as long as nobody asks for it."""
    cfg = compose(tmp_path, "algo=igpo")
    assert OmegaConf.select(cfg, f"{piece}.{key}") == default
    before = OmegaConf.to_container(cfg, resolve=True)
    node = before
    for part in piece.split("."):
        node = node[part]
    del node[key]
    assert differences(before, cfg) == []
    asked = compose(tmp_path, "algo=igpo", f"{piece}.{key}={other}")
    assert [str(change) for change in differences(before, asked)] == [f"{piece}.{key} null → {other}"]


def test_a_folder_that_says_nothing_is_a_new_run(tmp_path):
    cfg = compose(tmp_path, "algo=igpo", *TINY_RL, "resume=auto")
    assert resumption_of(cfg).checkpoint is None and not resumption_of(cfg).settings
    assert not is_finished(cfg)


def test_a_finished_run_can_only_be_made_longer(resumed, tmp_path):
    assert not is_finished(resumed())
    (tmp_path / "run" / "summary.json").write_text("{}")
    assert is_finished(resumed())
    assert is_finished(resumed("hardware=cpu_ddp"))
    assert not is_finished(resumed("algo.rollouts=3", "algo.optimizer.lr=0.5"))
    for override in ("algo.rollouts=1", "algo.optimizer.lr=0.5"):
        with pytest.raises(
            ConfigError, match=r"is finished; algo\.\S+ .* would change nothing. Make it longer"
        ):
            is_finished(resumed(override))

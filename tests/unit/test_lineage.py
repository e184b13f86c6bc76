"""A model is judged only on problems that none of its ancestors was trained on."""

import json
from dataclasses import replace

import pytest
from fakes import TINY_RL, Memory, compose, source

from igpo_lightning import lineage
from igpo_lightning.checks import ConfigError
from igpo_lightning.lineage import Split
from igpo_lightning.training.run import build, run
from igpo_lightning.types import Problem


def table(val_size=10, test_size=20, split_seed=0, name="mine"):
    rows = [Problem(f"p/{i}", f"question {i}", f"#### {i}", f"{i}") for i in range(100)]
    return Memory(name, rows, val_size=val_size, test_size=test_size, split_seed=split_seed)


@pytest.fixture
def model(tmp_path):
    """A folder whose model held out 10 and 20 problems of ``mine``."""
    lineage.write(tmp_path, [Split.of("sft", table(), ["gsm8k"])])
    return tmp_path


@pytest.mark.parametrize(
    "now, fault",
    [
        (dict(), None),
        (dict(val_size=4, test_size=20), None),  # of those that were held out
        (dict(split_seed=1), "split_seed 0, not 1"),
        (dict(test_size=40), "another split of mine: 20 of the 50 problems that are held out now"),
        (dict(name="other", split_seed=1), None),
    ],
)
def test_a_model_of_another_split_is_refused_with_a_way_round(model, now, fault):
    if fault is None:
        assert [split.stage for split in lineage.check(model, table(**now))] == ["sft"]
        return
    with pytest.raises(ConfigError) as caught:
        lineage.check(model, table(**now))
    message = str(caught.value)
    assert f"model.path={model}" in message and fault in message
    assert "data.split_seed=0 data.val_size=10 data.test_size=20" in message
    assert "data.on_other_split=warn" in message
    with pytest.warns(UserWarning, match="its stage sft was trained on another split"):
        lineage.check(model, table(**now), "warn")


def test_what_a_model_was_chosen_by_is_no_test(tmp_path):
    now = Split.of("sft", table(val_size=5, test_size=20))
    lineage.write(tmp_path, [replace(now, val=now.test[:3], test=(*now.test[3:], *now.val))])
    with pytest.raises(ConfigError, match="was chosen by 3 problems of mine that are in the test set now"):
        lineage.check(tmp_path, table(val_size=5, test_size=20))


def test_sources_that_tell_by_content_may_change_their_sizes(tmp_path):
    lineage.write(tmp_path, [Split.of("sft", source(steps=(1, 1)))])
    assert lineage.check(tmp_path, source(steps=(2, 2), test_size=30))
    with pytest.raises(ConfigError, match=r"split_seed 0, not 5"):
        lineage.check(tmp_path, source(split_seed=5))


def test_models_that_do_not_tell(tmp_path):
    assert lineage.check(None, table()) == lineage.check(tmp_path, table()) == []
    assert lineage.check("org/model", table()) == []
    for text in ("", "[]", '{"splits": [{"stage": 1}]}'):
        (tmp_path / lineage.FILE).write_text(text)
        with pytest.raises(ConfigError, match=r"lineage\.json: not a record of splits"):
            lineage.check(tmp_path, table())


def test_a_run_hands_its_ancestors_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ["algo.steps=2", "algo.batch_size=4", "algo.validate_every=2"]
    run(compose(tmp_path / "sft", "algo=sft", *short, "report=false"))
    trained = tmp_path / "sft" / "model"
    run(compose(tmp_path / "rl", "algo=grpo", *TINY_RL, f"model.path={trained}", "report=false"))
    splits = lineage.read(tmp_path / "rl" / "model")
    assert [(s.stage, s.data, s.split_seed, s.val_size, s.test_size) for s in splits] == [
        ("sft", "word_problems", 0, 4, 4),
        ("grpo", "word_problems", 0, 4, 4),
    ]
    assert len(splits[0].val) == 4 and splits[0].sha256 == splits[1].sha256
    stages = [json.loads((tmp_path / d / "summary.json").read_text())["stages"][0] for d in ("sft", "rl")]
    assert all(stage["accuracy_after"]["n"] == 4 and stage["test"]["n"] == 4 for stage in stages)
    other = compose(tmp_path / "no", "algo=grpo", *TINY_RL, f"model.path={trained}", "data.split_seed=3")
    with pytest.raises(ConfigError, match=r"split_seed 0, not 3"):
        build(other)
    with pytest.raises(ConfigError, match=r"split_seed 0, not 3"):
        run(compose(tmp_path / "dry", *other_of(other), "dry_run=true"))
    assert not (tmp_path / "no").exists()


def other_of(cfg):
    return ["algo=grpo", *TINY_RL, f"model.path={cfg.model.path}", f"data.split_seed={cfg.data.split_seed}"]

"""The composed recipes against the paper's table, value by value."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError, check_config
from igpo_lightning.config import composed as compose
from igpo_lightning.config import find_conf

CONF = Path(find_conf()).absolute()
TABLE = yaml.safe_load(Path(__file__).with_name("paper_table.yaml").read_text(encoding="utf-8"))
RECIPES = ["paper_sft", "paper_grpo", "paper_resample", "paper_igpo"]


def composed(*overrides: str, program: str = "train") -> DictConfig:
    return compose(overrides, program)


def settings(*overrides: str) -> dict:
    """Everything that a run depends on, resolved: all but where it writes."""
    cfg = OmegaConf.to_container(composed(*overrides, "output_dir=x"), resolve=False)
    for key in ("hydra", "sweep_dir"):
        cfg.pop(key, None)
    cfg["callbacks"].pop("progress")  # it is told the names
    cfg = OmegaConf.create(cfg)
    OmegaConf.resolve(cfg)  # as instantiate does, which is stricter than reading value by value
    return OmegaConf.to_container(cfg)


@pytest.fixture(scope="module")
def recipes():
    """Of every row of the table, the composed config that it speaks of."""
    made = {("train", name): composed(f"experiment={name}") for name in RECIPES}
    return made | {("evaluate", None): composed("model=llada", program="evaluate")}


@pytest.mark.parametrize("row", TABLE, ids=[row["quantity"] for row in TABLE])
def test_a_composed_value_is_the_paper_s_or_the_deviation_that_is_listed(row, recipes):
    program = row.get("program", "train")
    cfg = recipes[program, row.get("recipe", "paper_igpo" if program == "train" else None)]
    found = OmegaConf.select(cfg, row["key"])
    found = OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
    assert found == row.get("ours", row["value"])
    assert ("ours" in row) == ("because" in row)
    assert "ours" not in row or row["ours"] != row["value"]


def test_every_key_of_the_table_exists_but_the_dropout(recipes):
    absent = object()
    lacking = {
        row["key"]
        for row in TABLE
        if "program" not in row and "recipe" not in row
        and OmegaConf.select(recipes["train", "paper_igpo"], row["key"], default=absent) is absent
    }  # fmt: skip
    assert lacking == {"model.lora.dropout"}


@pytest.mark.parametrize(("recipe", "groups"), [
    ("paper_igpo", ["algo=igpo", "model=llada", "data=metamath"]),
    ("paper_grpo", ["algo=grpo", "model=llada", "data=metamath"]),
    ("paper_resample", ["algo=grpo_resample", "model=llada", "data=metamath"]),
    ("paper_sft", ["algo=sft", "model=llada", "data=openr1_concise", "model.lora=null"]),
])  # fmt: skip
def test_a_recipe_is_the_same_run_as_its_parts(recipe, groups):
    assert settings(f"experiment={recipe}") == settings(*groups)


def test_algorithms_differ_in_nothing_but_their_algorithm():
    igpo, grpo = settings("experiment=paper_igpo"), settings("experiment=paper_grpo")
    differing = {key for key in igpo["algo"] if igpo["algo"][key] != grpo["algo"].get(key)}
    assert differing == {"name", "inpaint", "token_filter", "compat"}
    assert {key for key in igpo if igpo[key] != grpo[key]} == {"algo"}


def test_the_page_has_every_deviation_and_every_switch(recipes):
    page = (CONF.parent / "docs" / "paper.md").read_text(encoding="utf-8")
    assert all(f"`{row['key']}`" in page for row in TABLE if "ours" in row)
    assert all(f"`{name}=" in page for name in recipes["train", "paper_igpo"].algo.compat)
    assert all(f"experiment={name}" in page for name in RECIPES)


def test_the_page_names_keys_that_there_are_and_the_table_s_sources_of_them(recipes):
    page = (CONF.parent / "docs" / "paper.md").read_text(encoding="utf-8")
    rows = [row for row in TABLE if "program" not in row and "recipe" not in row]
    compared, cfg = set(), recipes["train", "paper_igpo"]
    for source, keys in re.findall(r"^\|.*\| ([PC ]+) \| (`.*) \|$", page, re.MULTILINE):
        for key in re.findall(r"`([\w.]+)`", keys):
            assert OmegaConf.select(cfg, key, default="absent") != "absent", key
            found = [row for row in rows if f"{row['key']}.".startswith(f"{key}.")]
            assert {row["source"] for row in found} <= {source}, key
            compared |= {row["quantity"] for row in found}
    assert len(compared) > 25


# ---------------------------------------------------------------- what a model changes


def recipe_names(stage: str) -> set[str]:
    """Names that conf/algo looks for in model.rl or model.sft."""
    text = "".join(path.read_text() for path in (CONF / "algo").rglob("*.yaml"))
    return {part.split(",")[0] for part in text.split(f"oc.select:model.{stage}.")[1:]} - {"NAME"}


@pytest.mark.parametrize("path", sorted((CONF / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_a_model_changes_is_read(path):
    model = yaml.safe_load(path.read_text())
    for stage in ("rl", "sft"):
        assert set(model.get(stage) or {}) <= recipe_names(stage)


def test_pieces_can_be_built_from_the_paper_s_values():
    for name in ("paper_grpo", "paper_resample", "paper_igpo"):
        cfg = composed(f"experiment={name}", "output_dir=x")
        algorithm = instantiate(cfg.algo, datamodule=None, sampler=None, reward=None)
        assert algorithm.num_generations == 8 and algorithm.num_iterations == 4
        if name == "paper_igpo":
            assert (algorithm.inpaint.hints.shortest, algorithm.inpaint.hints.longest) == (5, 10)
    toy = instantiate(composed("output_dir=x").algo.inpaint).hints
    assert [toy.shortest, toy.longest] == composed().model.rl.chunk


def test_the_toy_has_its_own_values_and_the_command_line_has_the_last_word():
    toy = composed()
    assert toy.algo.rollouts == toy.model.rl.rollouts and toy.algo.epochs is None
    assert toy.algo.optimizer.lr == toy.model.rl.lr
    assert toy.algo.loss.importance_sampling_level == toy.model.rl.importance_sampling_level
    mine = composed("algo.rollouts=3", "algo.optimizer.lr=1e-4", "algo.inpaint.chunk=[1,1]")
    assert (mine.algo.rollouts, mine.algo.optimizer.lr) == (3, 1e-4)
    assert mine.algo.inpaint.chunk == [1, 1]
    assert composed("algo=sft").algo.steps == toy.model.sft.steps
    large = composed(
        "experiment=paper_igpo", "algo.rollouts=3", "model.path=x", "reward=accuracy", "sampler=tiny"
    )
    assert (large.algo.rollouts, large.model.path, large.sampler) == (3, "x", toy.sampler)
    assert "format" not in large.reward.terms


def test_a_fine_tuned_bidirectional_model_changes_the_rate_alone():
    ours = settings("model=bidirectional", "model.path=x", "data=metamath")
    paper = settings("model=llada", "model.path=x", "data=metamath")
    assert ours["algo"]["optimizer"]["lr"] == 1e-6
    for cfg in (ours, paper):
        cfg["algo"]["optimizer"]["lr"] = None
    assert {k for k in ours if ours[k] != paper[k]} == {"model"}


@pytest.mark.parametrize("algo", ["igpo", "sft"])
def test_a_wrong_word_for_a_value_that_models_may_change_is_refused_by_name(algo):
    """Such a value is an interpolation, whose type the command line can't know."""
    cfg = composed(f"algo={algo}")
    plain = OmegaConf.to_container(cfg.algo)
    keys = [key for key, value in _leaves(plain) if "${oc.select:model." in str(value)]
    assert len(keys) > 5
    for key in keys:
        if key != "logprobs._target_":
            with pytest.raises(ConfigError, match=rf"algo\.{key}=abc: expected"):
                check_config(with_value(cfg, f"algo.{key}", "abc"))


def with_value(cfg, key, value):
    """As the command line sets it; composing anew takes ten times as long."""
    changed = copy.deepcopy(cfg)
    OmegaConf.update(changed, key, value)
    return changed


def _leaves(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

import inspect
from pathlib import Path

import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from igpo_lightning.config import composed as compose
from igpo_lightning.config import find_conf
from igpo_lightning.rewriting.run import settings_of
from igpo_lightning.types import Problem

OPENAI = ["rewriter=openai", "rewriter.model=m", "rewriter.api_key_env=SECRET"]


def composed(*overrides):
    return compose(overrides, "rewrite")


@pytest.mark.parametrize("name", ["openai", "local"])
def test_a_writer_has_a_key_for_every_argument(name):
    keys = OmegaConf.to_container(OmegaConf.load(find_conf() / "rewriter" / f"{name}.yaml"))
    arguments = inspect.signature(get_class(keys.pop("_target_"))).parameters
    assert list(keys) == list(arguments)
    for key, value in keys.items():
        if value != "???" and key != "seed":
            assert value == arguments[key].default, key


def test_the_paper_s_set_fits_the_paper_s_canvas():
    cfg = composed(*OPENAI, "data=openr1")
    assert (cfg.length, cfg.output_dir) == (256, "rewrites/openr1")


def test_the_request_in_full():
    rules = instantiate(composed(*OPENAI).rules)
    ask = rules.ask(Problem("x/1", "Why?", "Because.", "\\frac{1}{2}"), 255, 2, ("Short.", "it was wrong."))
    assert "Problem:\nWhy?\n" in ask.user and "Long solution:\nBecause.\n" in ask.user
    assert "Final answer: \\frac{1}{2}\n" in ask.user and "\\boxed{}" in ask.user
    assert "under 255 tokens, which is about 127 words" in ask.user
    assert "it was wrong." in ask.user and "Short." in ask.user
    assert "{" not in (ask.system + ask.user).replace("\\frac{1}{2}", "").replace("\\boxed{}", "")


def test_settings_are_flat_and_name_neither_place_nor_pace():
    cfg = composed(*OPENAI, "rewriter.extra={top_p: 0.9}", "rewriter.base_url=http://here/v1")
    settings = settings_of(cfg, instantiate(cfg.rules), instantiate(cfg.rewriter, _convert_="all"))
    assert settings["rewriter.model"] == "m" and settings["rewriter.extra.top_p"] == 0.9
    assert settings["prompt.response"].startswith("<reasoning>")
    assert settings["data.source._target_"].endswith("OpenR1")
    assert all(isinstance(value, str | int | float | bool | None) for value in settings.values())
    assert not {"SECRET", "http://here/v1"} & set(map(str, settings.values()))
    assert not {key for key in settings if "concurrency" in key or "limit" in key}


def test_the_key_is_in_no_file_of_the_tree():
    for path in Path(find_conf()).rglob("rewrite*/*.yaml"):
        assert "api_key:" not in path.read_text()

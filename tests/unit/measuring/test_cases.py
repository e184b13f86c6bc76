"""Cases, sweeps and models: what each of them is composed of, and what is refused."""

from __future__ import annotations

import pytest
import torch
from checkpoints import write_llada

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.config import find_conf
from igpo_lightning.measuring.cases import cases_of, points_of
from igpo_lightning.measuring.weights import special_ids
from igpo_lightning.measuring.workload import workload_of


def cases(composed, *overrides, without=()):
    """What the sampling cases share, and the cases."""
    cfg = composed(*overrides)
    base = workload_of(cfg)
    return base, cases_of(cfg, "sampling", base, lambda more: composed(*overrides, *more), without)


def test_a_case_is_the_config_with_its_overrides(composed):
    base, made = cases(composed, '+cases.sampling.hot=["sampler.temperature=2","sampler.steps=8"]')
    (exact, none, same), (hot, changes, load) = made
    assert (exact, none, same) == ("exact", [], base)
    assert (hot, changes) == ("hot", ["sampler.temperature=2", "sampler.steps=8"])
    assert (load.algorithm.sampler.temperature, load.algorithm.sampler.steps) == (2, 8)
    assert load.policy is base.policy and load.prompts is base.prompts
    assert base.algorithm.sampler.steps == 4


def test_a_case_of_another_network_shares_the_tensors(composed):
    base, made = cases(composed, '+cases.sampling.eager=["+model.create.attn_implementation=eager"]')
    *_, (_, _, load) = made
    assert load.policy is not base.policy
    assert load.policy.network.config._attn_implementation == "eager"
    pairs = zip(load.policy.parameters(), base.policy.parameters(), strict=True)
    assert all(a.data_ptr() == b.data_ptr() for a, b in pairs)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("prompts=3", r"cases.sampling.bad: it changes prompts, which all cases share"),
        ("model.create.hidden_size=32", r"cases.sampling.bad: it changes the weights"),
    ],
)
def test_a_case_that_changes_what_is_shared_is_refused(composed, case, message):
    _, made = cases(composed, f'+cases.sampling.bad=["{case}"]')
    with pytest.raises(ConfigError, match=message):
        list(made)


def test_a_case_that_is_no_list_is_refused(composed):
    with pytest.raises(ConfigError, match=r"cases.sampling.bad=sampler.steps=2: expected a list"):
        list(cases(composed, "+cases.sampling.bad='sampler.steps=2'")[1])


def test_the_cases_that_ship_are_right():
    line = check_command_line(find_conf(), "bench", [])
    for kind, named in line.cfg.cases.items():
        assert kind in line.cfg.what
        for changes in named.values():
            check_command_line(find_conf(), "bench", list(changes))


def test_points_of_a_sweep(composed):
    cfg = composed("sweep.batch=[1,4]", "sweep.length=[4,16]", "sweep.steps=[2]", "sweep.vocabulary=[64]")
    points = {point.name: point for point in points_of(cfg)}
    assert list(points) == [
        *("sweep.batch=1", "sweep.batch=4", "sweep.length=4", "sweep.length=16"),
        *("sweep.vocabulary=64", "sweep.steps=2"),
    ]
    longer = points["sweep.length=16"]
    assert longer.overrides == ["sampler.length=16", "sampler.steps=8"]  # half a step a token, as 8 has 4
    assert longer.what == ["sampling", "update", "iteration"]
    assert points["sweep.batch=4"].what == points["sweep.steps=2"].what == ["sampling"]
    assert points["sweep.vocabulary=64"].new_model and not longer.new_model


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sweep.batch=4", r"sweep.batch=4: expected a list such as \[1,4,16\]"),
        ("sweep.batch=[0]", r"sweep.batch=0"),
        ("sweep.length=[3]", r"sweep.length=3: at 4 steps for 8 tokens"),
        ("+sweep.width=[3]", r"sweep.width: unknown; there are batch, length"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(composed, override, message):
    with pytest.raises(ConfigError, match=message):
        list(points_of(composed(override)))


def test_cases_that_set_the_swept_size_are_left_out(composed):
    _, made = cases(composed, '+cases.sampling.few=["sampler.steps=2"]', without=["sampler.steps"])
    assert [name for name, *_ in made] == ["exact"]


def test_special_ids_are_those_of_the_config_where_there_is_room():
    named = {"mask_token_id": 126336, "eos_token_id": 126081}
    whole, small = special_ids(126464, named), special_ids(8192, named)
    assert (whole.mask_token_id, whole.eos_token_id) == (126336, 126081)
    assert (small.mask_token_id, small.eos_token_id, len(small)) == (8191, 8190, 8192)


LLADA = ("model=llada", "model.lora.rank=2", "sampler=bench", "sampler.length=8", "sampler.block_length=4",
         "sampler.steps=4", "algo.num_generations=2", "prompt_length=4", "prompts=2")  # fmt: skip


def llada(composed_plain, folder, *overrides):
    return workload_of(composed_plain(f"model.path={folder}", *LLADA, *overrides))


def test_random_weights_of_a_config_alone(composed_plain, tmp_path):
    write_llada(tmp_path / "whole")
    (tmp_path / "config").mkdir()
    (tmp_path / "whole" / "config.json").rename(tmp_path / "config" / "config.json")
    load = llada(composed_plain, tmp_path / "config", "weights=random", "vocabulary=64")
    policy, config = load.policy, load.policy.network.config
    assert (config.vocab_size, config.num_hidden_layers, policy.mask_id) == (64, 2, 63)
    assert policy.published.config["embedding_size"] == 64
    named = dict(policy.network.model.layers[0].self_attn.q_proj.named_parameters())
    base, down, up = (named[f"{name}.weight"] for name in ("base_layer", "lora_A.default", "lora_B.default"))
    assert base.dtype == torch.bfloat16 and base.float().std().item() == pytest.approx(0.02, rel=0.2)
    assert down.dtype == torch.float32 and (up == 0).all() and (down != 0).any()
    frequencies = policy.network.model.rotary_emb.inv_freq
    theta, width = config.rope_parameters["rope_theta"], config.hidden_size // config.num_attention_heads
    expected = [theta ** -(i / width) for i in range(0, width, 2)]
    assert frequencies.tolist() == pytest.approx(expected, rel=1e-5)
    again = llada(composed_plain, tmp_path / "config", "weights=random", "vocabulary=64").policy
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), again.parameters(), strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert policy(torch.ones(1, 5, dtype=torch.long)).isfinite().all()


def test_a_loaded_model_gets_prompts_of_words(composed_plain, tmp_path):
    write_llada(tmp_path)
    load = llada(composed_plain, tmp_path)
    tokenizer = load.policy.tokenizer
    assert load.rows == 4 and load.which == [0, 0, 1, 1]
    for prompt in load.prompts:
        assert prompt.problem.prompt in tokenizer.decode(prompt.ids)


def test_weights_is_one_word_or_none(composed_plain, tmp_path):
    write_llada(tmp_path)
    with pytest.raises(ConfigError, match=r"weights=zero: expected random"):
        llada(composed_plain, tmp_path, "weights=zero")

"""The whole of it at toy size: what is measured, and what is left in the folder."""

from __future__ import annotations

import json

import pytest
import torch

from igpo_lightning.checks import ConfigError, check_config
from igpo_lightning.measuring.contenders import OURS
from igpo_lightning.measuring.meter import Meter
from igpo_lightning.measuring.program import bench
from igpo_lightning.measuring.published import THEIRS
from igpo_lightning.measuring.workload import kept

PARTS = ["sampling/published", "sampling/exact", "update/published", "update/exact"]
PARTS += ["iteration/published", "iteration/exact"]


def test_a_bench_leaves_tables_figures_and_pictures(composed, tmp_path, capsys):
    kept_file = tmp_path / "ratios.json"
    cfg = composed("sweep.batch=[1,4]", f"record={kept_file}")
    assert bench(cfg, lambda more: composed(*more)) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("bench.json", "bench.md", "bench.png", "growth.png")
    ]
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert [f"{result['what']}/{result['name']}" for result in record["results"]] == PARTS
    assert record["sizes"]["rows"] == 4 and record["sizes"]["columns"] == 12
    assert record["provenance"]["packages"]["torch"] and record["machine"]["is_cpu"]
    assert [result["point"] for result in record["growth"]] == [{"batch": 1}] * 2 + [{"batch": 4}] * 2
    for result in record["results"]:
        assert result["operations"] > 0 and result["seconds"] > 0 and len(result["turns"]) == 1
        assert result["tokens"] == 2 * 2 * 8
    by = {f"{result['what']}/{result['name']}": result for result in record["results"]}
    assert by["sampling/published"]["forwards_per_token"] == 4 / 8  # steps by tokens of a row
    assert by["sampling/exact"]["forwards_per_token"] <= 4 / 8
    assert set(by["iteration/published"]["phases"]) == {"sample", "log-probs", "update"}
    assert set(by["iteration/exact"]["phases"]) == {"sample", "score", "log-probs", "update"}
    assert "| iteration | exact " in capsys.readouterr().out
    assert set(json.loads(kept_file.read_text())["ratios"]) == {
        *("sampling/exact", "update/exact", "iteration/exact")
    }


def test_what_is_slower_than_recorded_is_told(composed, tmp_path):
    cfg = composed("what=[sampling]", f"record={tmp_path}/ratios.json")
    assert bench(cfg, lambda more: composed(*more)) == []
    kept_ratios = json.loads((tmp_path / "ratios.json").read_text())
    kept_ratios["ratios"] = {"sampling/exact": 1e6}
    (tmp_path / "ratios.json").write_text(json.dumps(kept_ratios))
    cfg = composed("what=[sampling]", f"check={tmp_path}/ratios.json")
    (line,) = bench(cfg, lambda more: composed(*more))
    assert line.startswith("sampling/exact: ") and "recorded with 1000000.00" in line


@pytest.mark.parametrize("what", ["update", "iteration"])
@pytest.mark.parametrize("work", [THEIRS, OURS])
def test_all_turns_start_from_the_same_weights(workload, what, work):
    load = workload(f"what=[{what}]")
    before = [weight.detach().clone() for weight in load.policy.parameters()]
    work[what](load, Meter(load.device))
    assert all(torch.equal(a, b) for a, b in zip(before, load.policy.parameters(), strict=True))


def test_an_update_of_ours_samples_with_no_call_of_the_model(workload):
    from igpo_lightning.measuring.operations import Counter, Shapes

    load = workload("what=[update]")
    counter = Counter(Shapes.of(load.policy.network))
    with counter.watching(load.policy), kept(load.policy):
        OURS["update"](load, Meter(load.device))
    # Mean field: two prompts are two rows for old and reference log-probs and for each of two iterations.
    assert counter.rows == 2 + 2 + 2 * 2 and counter.positions == 8 * counter.rows


def test_the_published_update_has_a_row_for_each_completion_and_mask(workload):
    from igpo_lightning.measuring.operations import Counter, Shapes

    load = workload("what=[update]")
    counter = Counter(Shapes.of(load.policy.network))
    with counter.watching(load.policy):
        THEIRS["update"](load, Meter(load.device))
    # Two prompts of G = 2 in μ = 2 masks: 8 rows for old, 8 for reference log-probs, and 4 in each
    # iteration; all 12 columns of each reach the head.
    assert counter.rows == 8 + 8 + 2 * 4 and counter.positions == 12 * counter.rows


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("what=[decoding]", r"what=\['decoding'\]: expected a list of sampling, update, iteration"),
        ("what=sampling", r"what=sampling: expected a list"),
        ("repeats=0", r"repeats=0"),
        ("batch=0", r"batch=0"),
        ("vocabulary=3", r"vocabulary=3: it takes at least 4 ids"),
        ("hardware.devices=2", r"hardware: it measures one device"),
        ("hardware=zero2", r"hardware: it asks for a GPU|hardware: it measures one device"),
    ],
)
def test_settings_that_make_no_sense_are_refused(composed, override, message):
    with pytest.raises(ConfigError, match=message):
        bench(composed(override), lambda more: composed(*more))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.batch=[2,abc]"], r"sweep\.batch=abc: expected a whole number"),
        (["sweep.length=[8,6]"], r"sweep\.length=6: sampler\.block_length=4: must divide sampler\.length=6"),
        (["record=/proc/ratios/r.json"], r"record=/proc/ratios/r\.json: there is no folder"),
        (
            ["record=r.json", "published=false"],
            r"record: there is no ratio to record; it takes published=true",
        ),
    ],
)
def test_nothing_is_measured_before_all_is_known_to_work(composed, monkeypatch, overrides, message):
    def checked(*more):
        cfg = composed(*overrides, *more)
        check_config(cfg)
        return cfg

    monkeypatch.setattr("igpo_lightning.measuring.program.measure", lambda *_: pytest.fail("it was measured"))
    with pytest.raises(ConfigError, match=message):
        bench(composed(*overrides), lambda more: checked(*more))


def test_fine_tuning_is_not_measured(composed_plain):
    with pytest.raises(ConfigError, match=r"algo: it has no rollouts to measure"):
        bench(composed_plain("algo=sft"), lambda more: composed_plain("algo=sft", *more))

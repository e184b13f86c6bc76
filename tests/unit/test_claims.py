"""The arithmetic and the plans of experiments/claims, by hand."""

import json
import math
import sys
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS / "claims"))
    yield
    for name in ("plan", "stats", "rates", "jobs", "curves", "pictures", "collect", "run"):
        sys.modules.pop(name, None)


def test_an_interval_is_students():
    from stats import Interval

    found = Interval.of([0.1, 0.2, 0.3, 0.2])
    # sd = sqrt(0.02 / 3) = 0.081650; / sqrt(4) = 0.040825; x 3.182 = 0.129905
    assert (found.mean, found.n) == (pytest.approx(0.2), 4)
    assert (found.low, found.high) == (pytest.approx(0.070095, abs=1e-5), pytest.approx(0.329905, abs=1e-5))
    assert math.isnan(Interval.of([0.5]).low)
    with pytest.raises(ValueError, match="between 1 and 16"):
        Interval.of([])


@pytest.mark.parametrize(
    "differences, p",
    [([0.1, 0.2, 0.3], 2 / 8), ([0.1, -0.2, 0.3], 6 / 8), ([0.0, 0.0], 1.0), ([0.1] * 8, 2 / 256)],
)
def test_signs_are_flipped_in_all_ways(differences, p):
    from stats import sign_flip_p

    assert sign_flip_p(differences) == pytest.approx(p)


def test_leads_are_paired_on_the_starts_that_both_have():
    from stats import lead

    assert lead({3: 0.9, 1: 0.8, 7: 0.1}, {1: 0.5, 3: 1.0, 4: 0.0}) == ([1, 3], pytest.approx([0.3, -0.1]))


@pytest.mark.parametrize(
    "values, says",
    [([0.1, 0.11, 0.12], "ahead"), ([-0.1, -0.11, -0.12], "behind"), ([0.1, -0.1], "not decided")],
)
def test_a_verdict_needs_an_interval_without_zero(values, says):
    from stats import Interval, verdict

    assert verdict(Interval.of(values)) == says


@pytest.mark.parametrize("best, more", [(1e-3, None), (5e-4, 2.5e-4), (2e-3, 4e-3)])
def test_a_grid_grows_where_the_best_is_at_its_edge(best, more):
    from rates import grown

    assert grown([5e-4, 1e-3, 2e-3], best) == (None if more is None else pytest.approx(more))


@cache  # arms and starts are shared among claims
def composed_of(overrides):
    """Rate and settings of a training command."""
    from jobs import composed, settings

    cfg = composed(overrides)
    return cfg.algo.optimizer.lr, settings(cfg)


PLANS = [(p, p.parent.name) for p in sorted(EXPERIMENTS.glob("*/plan.yaml")) if "tasks:" in p.read_text()]


@pytest.mark.parametrize("path", [
    # Of the many algorithms each is composed by tests of its own.
    pytest.param(path, id=name, marks=pytest.mark.slow if name == "algorithms" else [])
    for path, name in PLANS
])  # fmt: skip
def test_every_command_of_every_plan_composes_to_the_settings_of_its_kept_results(path):
    from plan import read_plan
    from run import Study

    for task in OmegaConf.load(path).tasks:
        study = Study(path.parent, read_plan(path.parent, task))
        for arm in study.plan.arms.values():
            rate, now = composed_of(study.job(arm, study.plan.seeds[0], 1e-3).overrides)
            kept = [json.loads(file.read_text()) for file in study.results.glob(f"{arm.name}-*.json")]
            assert rate == 1e-3
            assert {run.get("settings", now) for run in kept} == {now}, f"{task}: {arm.name}"
        assert not set(study.plan.seeds) & set(study.plan.tuning_seeds)


def test_tables_are_made_from_kept_files_alone(tmp_path, monkeypatch):
    import collect
    from plan import Arm, Plan

    def result(test, before=0.2, spent=80.0):
        return {
            "validation_before": {"value": before, "n": 10}, "test": {"value": test, "n": 1000},
            "completions": 500,
            "seconds": 3600,
            "curve": {"updates": [10, 20], "accuracy": [0.3, test], "seconds": [40.0, spent]},
            "generated_tokens": {"updates": [20], "tokens": [2e6]},
            "first_tenth": {"all_wrong_before": 0.5, "all_wrong_after": 0.25, "hint_success": None},
            "last_fifth": {"all_wrong_before": 0.1, "all_wrong_after": 0.1},
            "hints": {"rollout/hint_tokens": 4.0 * test, "train/clip_ratio/hints": None},
            "provenance": {"git": {"commit": "abcdef0123"}, "packages": {"torch": "2.13.0"}},
        }  # fmt: skip

    arms = {name: Arm(name, name.upper(), (), name) for name in ("igpo", "grpo")}
    plan = Plan("It helps.", "words", (), {}, arms, (0, 1, 2), (9,), (1e-3,))
    runs = {
        "igpo": {0: result(0.9), 1: result(0.8), 2: result(0.7)},
        "grpo": {0: result(0.8, spent=120.0), 1: result(0.6, spent=120.0), 2: result(0.4, spent=120.0)},
    }
    for name, found in {"igpo": (0.1, 0.2, 0.3), "grpo": (0.1, 0.2, None)}.items():
        for seed, before in enumerate(found):
            runs[name][seed]["test_before"] = before
    collect.collect(tmp_path, plan, {"igpo": {1e-3: 0.5, 2e-3: 0.4}, "grpo": {1e-3: 0.3}}, runs)
    text = (tmp_path / "results-words.md").read_text()
    # leads 0.1, 0.2, 0.3: mean 0.2, half 4.303 x 0.1 / sqrt(3) = 0.248; all signs alike: p = 2/8
    assert "| GRPO | +0.200 [-0.048, +0.448] | 0.250 | 3 | not decided |" in text
    assert "| IGPO | 0.001 | 0.200 | 0.200 | **0.800** ± 0.248 | 0.800 | 80 | 0.500 → 0.250 |" in text
    assert "| GRPO | 0.001 | 0.200 | – | **0.600**" in text  # one start's is not known
    assert "| 0.100 → 0.100 | – | 500 | 2.00 | 3 |" in text
    # GRPO after IGPO's 80 seconds: half of the way from 0.3 to its end, 0.55, 0.45 and 0.35
    assert "validation after 80 s" in text and "| **0.600** ± 0.497 | 0.450 | 120 |" in text
    assert "| IGPO | 3.200 | – |" in text  # 4 x (0.9 + 0.8 + 0.7) / 3
    assert "| IGPO | **0.500** | 0.400 |" in text
    assert "6 runs, 6.0 hours on one thread" in text and "commit abcdef012" in text
    assert (tmp_path / "results-words.png").stat().st_size > 1000
    json.dumps(runs)


@pytest.mark.parametrize("spent, found", [(0.0, 0.2), (20.0, 0.25), (40.0, 0.3), (60.0, 0.45), (500.0, 0.6)])
def test_accuracy_after_some_seconds_lies_between_two_measurements(spent, found):
    from curves import accuracy_after

    run = {"validation_before": {"value": 0.2}, "curve": {"seconds": [40.0, 80.0], "accuracy": [0.3, 0.6]}}
    assert accuracy_after(run, spent) == pytest.approx(found)


def test_runs_that_do_not_know_their_seconds_are_not_compared_at_equal_time():
    from curves import seconds

    known, old = {"curve": {"seconds": [40.0, 80.0]}}, {"curve": {"updates": [1, 2]}}
    assert seconds({0: known, 1: {"curve": {"seconds": [20.0, 100.0]}}}) == 90.0
    assert seconds({0: known, 1: old}) is None


def test_many_arms_are_ranked(tmp_path):
    from pictures import picture
    from plan import Arm, Plan

    arms = {f"a{k}": Arm(f"a{k}", f"arm {k}", (), f"arm {k}") for k in range(9)}
    plan = Plan("One is best.", "words", (), {}, arms, (0, 1), (9,), (1e-3,))
    run = {
        "test": {"value": 0.5},
        "validation_before": {"value": 0.2},
        "curve": {"updates": [1], "accuracy": [0.5]},
    }
    picture(plan, {name: {0: run, 1: run} for name in arms}, tmp_path / "many.png")
    assert (tmp_path / "many.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "changes, same",
    [({"seed": 7, "algo": {"optimizer": {"lr": 1.0}}, "output_dir": "elsewhere"}, True),
     ({"data": {"source": {"seed": 7}}, "model": {"path": "there"}}, True),
     ({"data": {"source": {"max_number": 20}}}, False),
     ({"algo": {"inpaint": {"ratio": [0.2, 0.5]}}}, False)],
)  # fmt: skip
def test_settings_are_what_the_runs_of_an_arm_share(changes, same):
    from jobs import settings

    config = {
        "seed": 0, "output_dir": "here", "model": {"path": None, "layers": 2}, "sampler": {"steps": 14},
        "data": {"source": {"seed": 0, "max_number": 28}}, "prompt": {}, "reward": {"terms": {}},
        "algo": {"optimizer": {"lr": 1e-3}, "inpaint": {"ratio": [0.2, 0.6]}},
    }  # fmt: skip
    one, other = OmegaConf.create(config), OmegaConf.merge(config, changes)
    assert (settings(one) == settings(other)) is same


def test_results_of_other_settings_are_not_averaged(tmp_path):
    import collect
    from plan import Arm, Plan

    plan = Plan("It helps.", "words", (), {}, {"igpo": Arm("igpo", "IGPO", ())}, (0, 1), (9,), (1e-3,))
    runs = {"igpo": {0: {"settings": "abc"}, 1: {"settings": "def"}}}
    with pytest.raises(SystemExit, match=r"igpo: its runs had different settings.*abc.*def"):
        collect.collect(tmp_path, plan, {"igpo": {1e-3: 0.5}}, runs)
    assert not list(tmp_path.iterdir())


def test_a_kept_result_of_other_settings_than_todays_is_refused(tmp_path, monkeypatch):
    import jobs

    asked = []
    monkeypatch.setattr(jobs, "run_all", lambda some, workers: None)
    monkeypatch.setattr(jobs, "composed", lambda overrides: asked.append(overrides) or {"algo": {"x": 1}})
    done = []
    for seed in (0, 1):
        overrides = ("algo=igpo", f"seed={seed}", "algo.optimizer.lr=0.001", f"model.path=start-{seed}")
        done.append(jobs.Job(f"igpo-{seed}", overrides, tmp_path, tmp_path / f"igpo-{seed}.json"))
        done[-1].result.write_text(json.dumps({"settings": jobs.settings({"algo": {"x": 1}})}))
    jobs.run_missing(done, workers=2)
    assert len(asked) == 1  # an arm at a time
    done[1].result.write_text(json.dumps({"settings": jobs.settings({"algo": {"x": 2}})}))
    with pytest.raises(SystemExit, match=r"igpo-1\.json: what was run then is not what conf/ gives now"):
        jobs.run_missing(done, workers=2)
    done[1].result.write_text("{}")  # older than this record
    jobs.run_missing(done, workers=2)


def test_a_start_is_trained_for_jobs_that_miss_its_model(tmp_path, monkeypatch):
    import jobs

    ran = []
    monkeypatch.setattr(jobs, "run_all", lambda some, workers: ran.append([job.name for job in some]))

    def job(name, start=None):
        return jobs.Job(name, (), tmp_path / name, tmp_path / f"{name}.json", start)

    there, gone, unneeded = (job(name) for name in ("there", "gone", "unneeded"))
    there.model.mkdir(parents=True)
    for one in (there, gone, unneeded, job("finished")):
        one.result.write_text("{}")
    jobs.run_missing([job("finished", unneeded), job("a", there), job("b", gone), job("c", gone)], workers=2)
    assert ran == [["gone"], ["a", "b", "c"]]


@pytest.mark.parametrize(
    "last, kept, known",
    [({"value": 0.25, "n": 400}, True, 0.31),
     ({"value": 0.25, "n": 300}, True, None),  # other problems
     ({"value": 0.5, "n": 400}, True, None),  # others, or decoded otherwise
     ({"value": 0.25, "n": 400}, False, None)],
)  # fmt: skip
def test_a_start_s_test_accuracy_is_that_before_a_run_if_it_was_measured_in_the_same_way(
    tmp_path, last, kept, known
):
    from jobs import Job

    start = Job("start", (), tmp_path, tmp_path / "start.json")
    run = Job("run", (), tmp_path, tmp_path / "run.json", start)
    run.result.write_text(json.dumps({"validation_before": {"value": 0.25, "n": 400}}))
    if kept:
        start.result.write_text(json.dumps({"validation_after": last, "test": {"value": 0.31, "n": 1000}}))
    assert run.test_before() == known


def test_labels_do_not_lie_on_each_other():
    from pictures import _apart

    placed = _apart({"a": 0.90, "b": 0.89, "c": 0.5}, least=0.05)
    assert placed == {"c": 0.5, "b": 0.89, "a": pytest.approx(0.94)}

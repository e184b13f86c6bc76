import pandas as pd
import pytest

from igpo_lightning.checks import ConfigError
from igpo_lightning.reporting.run import Metrics, read_metrics, read_run


def metrics_of(*rows):
    return Metrics(pd.DataFrame(rows).set_index("step", drop=False))


def test_sparse_rows_become_series(run_folder):
    metrics = read_run(run_folder).rollouts.metrics
    assert metrics.series("rollout/reward") == ([1, 3], [0.5, 0.75])
    assert metrics.series("train/kl") == ([1, 2, 3], [0.0, 0.002, 0.004])  # NaN is not a value
    assert metrics.series("nothing") == ([], [])
    assert metrics.last("rollout/reward") == 0.75 and metrics.last("nothing") is None


def test_metrics_by_rollout(run_folder):
    metrics = read_run(run_folder).rollouts.metrics
    assert metrics.by_rollout("train/kl").to_dict() == {1: 0.001, 2: 0.004}  # steps 1, 2 | 3
    assert metrics.by_rollout("val/accuracy").to_dict() == {2: 0.3}


def test_stretches_of_a_run():
    metrics = metrics_of(*({"step": float(i), "a": float(i)} for i in range(10)))
    assert metrics.mean("a") == 4.5
    assert metrics.mean("a", 0.0, 0.2) == 0.5
    assert metrics.mean("a", 0.8, 1.0) == 8.5
    assert metrics_of({"step": 0.0, "a": 3.0}).mean("a", 0.8, 1.0) == 3.0
    assert metrics.mean("b") is None


def test_a_step_logged_again_after_a_resume_keeps_the_later_value():
    metrics = metrics_of({"step": 1.0, "a": 1.0}, {"step": 2.0, "a": 2.0}, {"step": 1.0, "a": 9.0})
    assert metrics.series("a") == ([1.0, 2.0], [9.0, 2.0])


def test_what_lightning_repeats_with_every_update_is_one_rollout():
    values = [(1, 32, 0.5), (2, 32, 0.5), (3, 64, 0.5), (4, 64, 0.5), (5, 96, 0.25)]
    rows = (
        {"step": s, "rollout/completions": c, "rollout/reward": r, "train/kl": s / 10} for s, c, r in values
    )
    metrics = metrics_of(*rows)
    assert metrics.series("rollout/reward") == ([1, 3, 5], [0.5, 0.5, 0.25])
    assert metrics.by_rollout("train/kl").to_dict() == pytest.approx({1: 0.15, 2: 0.35, 3: 0.5})


def test_a_finished_run(run_folder):
    run = read_run(run_folder)
    assert run.finished and run.title == "IGPO on <tiny>" and run.seconds == 140.0
    assert [stage.stage.name for stage in run.stages] == ["sft", "igpo"]
    assert run.supervised.stage.name == "sft" and run.rollouts.stage.name == "igpo"
    assert [(when, a.value) for when, a in run.accuracies()] == [
        ("before SFT", 0.0), ("after SFT", 0.2), ("after IGPO", 0.5),
    ]  # fmt: skip
    assert run.config.startswith("seed: 7") and run.provenance == {"commit": "abc123"}
    assert run.samples[0].pieces == (("so ", False), ("<4> ", True), ("#### 7", False))


def test_an_interrupted_run_is_read_without_its_summary(run_folder):
    (run_folder / "summary.json").unlink()
    run = read_run(run_folder)
    assert not run.finished and run.accuracies() == []
    assert [stage.stage.folder for stage in run.stages] == ["sft", "."]
    assert run.rollouts.metrics.last("rollout/reward") == 0.75


def test_errors_name_the_file_and_the_line(run_folder, tmp_path):
    with pytest.raises(ConfigError, match="no run folder"):
        read_run(tmp_path / "nowhere")
    bad = tmp_path / "metrics.csv"
    bad.write_text("step,a\n0,1\n1,one\n")
    with pytest.raises(ConfigError, match=r"metrics\.csv:3: .*one"):
        read_metrics(bad)
    with (run_folder / "samples.jsonl").open("a") as file:
        file.write('{"rollout": 1}\n')
    with pytest.raises(ConfigError, match=r"samples\.jsonl:2"):
        read_run(run_folder)
    (run_folder / "provenance.json").write_text("{")
    (run_folder / "samples.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"provenance\.json"):
        read_run(run_folder)

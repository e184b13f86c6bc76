"""What a fit logs, and when."""

import pytest
from fakes import MemoryLogger, inpaint, rollout_fit, sft_fit, tiny_policy, trainer


def logged(folder, module, data):
    logger = MemoryLogger()
    run = trainer(folder, logger=logger)
    run.fit(module, datamodule=data)
    return logger.rows, run


def rows_with(rows, name):
    return [row[name] for _, row in sorted(rows.items()) if name in row]


def test_policy_optimisation(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=3, prompts_per_micro_batch=2, inpaint=inpaint())
    rollouts = []
    run = data.engine.run
    data.engine.run = lambda *args: rollouts.append(run(*args)) or rollouts[-1]
    rows, fit = logged(tmp_path, module, data)
    assert fit.global_step == 6 and len(rollouts) == 3
    for name in ("loss", "kl", "ratio_max", "clip_fraction", "kept_tokens", "grad_norm"):
        assert len(rows_with(rows, f"train/{name}")) == 6, name  # once an update, not once a micro-batch
    for name in (
        "reward",
        "reward_before",
        "all_wrong_before",
        "all_wrong_after",
        "replaced",
        "length",
        "no_signal",
    ):
        assert rows_with(rows, f"rollout/{name}") == pytest.approx([w.metrics[name] for w in rollouts]), name
    sampled = [16 + w.metrics["resampled"] for w in rollouts]
    assert rows_with(rows, "rollout/completions") == [
        sum(sampled[: i + 1]) for i in range(3)
    ]  # running total
    assert rows_with(rows, "rollout/generated_tokens") == [16 * sum(sampled[: i + 1]) for i in range(3)]
    hinted = [
        w.metrics["resampled_correct"] / w.metrics["resampled"] for w in rollouts if w.metrics["resampled"]
    ]
    assert rows_with(rows, "rollout/hint_success") == pytest.approx(hinted)
    assert len(rows_with(rows, "val/accuracy")) == 3


@pytest.mark.parametrize("validate_every, count", [(1, 4), (2, 2), (4, 1)])
def test_every_due_validation_takes_place(tmp_path, validate_every, count):
    module, data = rollout_fit(tiny_policy(), rollouts=4, validate_every=validate_every)
    rows, _ = logged(tmp_path, module, data)
    assert len(rows_with(rows, "val/accuracy")) == len(rows_with(rows, "val/length")) == count


def test_fine_tuning(tmp_path):
    module, data = sft_fit(tiny_policy(), steps=12, slots=2)
    rows, fit = logged(tmp_path, module, data)
    assert fit.global_step == 12
    assert len(rows_with(rows, "train/loss")) == len(rows_with(rows, "train/token_accuracy")) == 12
    for name in ("loss", "token_accuracy", "accuracy"):
        assert len(rows_with(rows, f"val/{name}")) == 6, name
    assert rows_with(rows, "train/loss")[-1] < rows_with(rows, "train/loss")[0]


@pytest.mark.parametrize("fit", [rollout_fit, sft_fit])
def test_an_update_that_lacks_a_metric_does_not_repeat_an_earlier_one(tmp_path, monkeypatch, fit):
    module, data = fit(tiny_policy())
    progress = module.progress

    def now_and_then(batch, seconds):
        mine = {"seldom": module.trainer.global_step, "time/seldom": 1.0}
        return progress(batch, seconds) | (mine if module.trainer.global_step == 2 else {})

    monkeypatch.setattr(module, "progress", now_and_then)
    rows, run = logged(tmp_path, module, data)
    assert run.global_step > 3
    assert {step: row["train/seldom"] for step, row in rows.items() if "train/seldom" in row} == {1: 2.0}
    assert [step for step, row in rows.items() if "time/seldom" in row] == [1]
    assert len(rows_with(rows, "train/epoch")) == run.global_step

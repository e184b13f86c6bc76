"""How long a run is, and where its learning rate ends."""

from functools import partial

import pytest
from fakes import MemoryLogger, rollout_fit, sft_fit, tiny_policy, trainer
from lightning.pytorch.callbacks import LearningRateMonitor

from igpo_lightning.training.schedulers import warmup_linear


def rates(folder, module, data):
    """The learning rate of every update."""
    module.algorithm.scheduler = partial(warmup_linear, warmup=1)
    logger = MemoryLogger()
    fit = trainer(folder, logger=logger, callbacks=[LearningRateMonitor("step")])
    fit.fit(module, datamodule=data)
    rows = (row for row in logger.rows.values() if "lr-AdamW" in row)
    return [row["lr-AdamW"] / 1e-2 for row in rows], fit


def test_the_rate_of_policy_optimisation_ends_with_the_run(tmp_path):
    """24 rows in rollouts of 8 and 2 passes over each: an epoch is 6 updates, of which one warms up."""
    sizes = {"prompts_per_rollout": 8, "prompts_per_micro_batch": 8, "validate_every": 10}
    module, data = rollout_fit(tiny_policy(), rollouts=None, epochs=1, **sizes)
    found, fit = rates(tmp_path, module, data)
    assert (data.rollouts, data.updates, fit.global_step) == (3, 6, 6)
    assert found == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.4, 0.2])


def test_the_rate_of_fine_tuning_ends_with_the_run(tmp_path):
    module, data = sft_fit(tiny_policy(), steps=4, slots=2)
    found, fit = rates(tmp_path, module, data)
    assert (data.updates, fit.global_step) == (4, 4)
    assert found == pytest.approx([0.5, 1.0, 2 / 3, 1 / 3])


def test_a_time_limit_ends_a_run_early_and_in_good_order(tmp_path):
    module, data = rollout_fit(tiny_policy(), rollouts=5)
    limited = trainer(tmp_path, max_time={"seconds": 0})
    limited.fit(module, datamodule=data)
    assert limited.global_step < data.updates == 10 and limited.state.finished

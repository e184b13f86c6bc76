"""Loggers beside the CSV's: a run's page and its cost at W&B, hyperparameters and config in TensorBoard."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from igpo_lightning.config import composed
from igpo_lightning.reporting.tensorboard_logger import TensorBoardLogger
from igpo_lightning.reporting.wandb_logger import WandbLogger, kept_open

CONF = Path(__file__).parents[3] / "conf"


class FakeRun:
    """A W&B run: ``logged``, and ``ended``, its exit codes."""

    def __init__(self, broken=False):
        self.broken, self.logged, self.ended = broken, [], []

    def log(self, row):
        if self.broken:
            raise OSError("no space\nleft")
        self.logged.append(row)

    def finish(self, exit_code):
        self.ended.append(exit_code)


def ended(run, status):
    WandbLogger(experiment=run).finalize(status)


@pytest.fixture
def page(tmp_path):
    (tmp_path / "report.html").write_text("<p>so</p>")
    return tmp_path / "report.html"


def test_a_run_that_ended_well_gets_the_page_and_is_finished_once(page):
    run, failed = FakeRun(), FakeRun()
    with kept_open() as show:
        ended(failed, "failed")
        ended(run, "success")
        assert (run.ended, failed.ended) == ([], [1])
        show(page)
    assert run.ended == [0] and failed.ended == [1] and not failed.logged
    assert [{key: html.html for key, html in row.items()} for row in run.logged] == [{"report": "<p>so</p>"}]
    later = FakeRun()
    ended(later, "success")
    assert later.ended == [0]


def test_a_page_that_cannot_be_sent_fails_nothing(page, capsys):
    run = FakeRun(broken=True)
    with kept_open() as show:
        ended(run, "success")
        show(page)
    assert run.ended == [0]
    assert capsys.readouterr().out == f"warning: {page} did not reach W&B (no space left)\n"


def test_a_report_that_fails_leaves_no_run_open():
    run = FakeRun()
    with pytest.raises(ZeroDivisionError), kept_open():
        ended(run, "success")
        raise ZeroDivisionError
    assert run.ended == [0]


def test_rows_tell_what_was_sampled_so_far():
    run = FakeRun()
    logger = WandbLogger(experiment=run)
    logger.log_metrics({"val/accuracy": 0.1}, step=0)
    logger.log_metrics({"rollout/reward": 0.5, "rollout/completions": 8}, step=0)
    logger.log_metrics({"val/accuracy": 0.2}, step=3)
    logger.log_metrics({"rollout/completions": 16}, step=4)
    assert run.logged == [
        {"val/accuracy": 0.1, "trainer/global_step": 0},
        {"rollout/reward": 0.5, "rollout/completions": 8, "trainer/global_step": 0},
        {"val/accuracy": 0.2, "rollout/completions": 8, "trainer/global_step": 3},
        {"rollout/completions": 16, "trainer/global_step": 4},
    ]


def test_wandb_gets_the_setting_that_it_has_no_more_from_those_only_who_ask_for_it():
    assert "anonymous" not in WandbLogger(experiment=FakeRun())._wandb_init
    assert WandbLogger(experiment=FakeRun(), anonymous=True)._wandb_init["anonymous"] == "allow"


def read(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_tensorboard_has_the_config_and_the_overrides_with_the_outcome(tmp_path):
    cfg = composed(["output_dir=.", "algo=grpo", "seed=3", "algo.optimizer.betas=[0.5,0.9]"])
    settings = {**OmegaConf.to_container(cfg, resolve=True), "starting_weights": "abc"}
    logger = TensorBoardLogger(tmp_path, name="tb", version="", default_hp_metric=False)
    logger.log_hyperparams(settings)
    logger.save()
    logger.log_metrics({"train/loss": 1.0}, 0)
    logger.log_outcome({"test/accuracy": 0.25, "val/accuracy_after": 0.5})
    logger.finalize("success")
    run, outcome = read(tmp_path / "tb"), read(tmp_path / "tb" / "outcome")
    (text,) = run.Tensors("config/text_summary")
    told = text.tensor_proto.string_val[0].decode()
    assert yaml.safe_load(told.removeprefix("```yaml\n").removesuffix("```")) == settings
    assert {tag: outcome.Scalars(tag)[0].value for tag in outcome.Tags()["scalars"]} == {
        "test/accuracy": 0.25,
        "val/accuracy_after": 0.5,
    }
    kept = outcome.summary_metadata
    start = HParamsPluginData.FromString(kept["_hparams_/session_start_info"].plugin_data.content)
    values = {key: value.ListFields()[0][1] for key, value in start.session_start_info.hparams.items()}
    assert values.pop("seed") == 3 and values.pop("algo.optimizer.betas") == "[0.5,0.9]"
    assert values["algo.name"] == "grpo" and "starting_weights" not in values
    assert all(key.startswith("algo.") or key.endswith(".seed") for key in values)  # these differ with it
    # TensorBoard shows the columns of the first run that fixes them, and then no others.
    assert "_hparams_/session_end_info" in kept and "_hparams_/experiment" not in kept


def test_without_an_outcome_tensorboard_gets_no_hyperparameters(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="tb", version="", default_hp_metric=False)
    logger.log_hyperparams({"seed": 1})
    logger.log_outcome({})
    assert not (tmp_path / "tb" / "outcome").exists()

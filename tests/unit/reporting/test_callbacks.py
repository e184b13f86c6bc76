import io
import os
import re
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from fakes import rollout_fit, tiny_policy, trainer
from hydra.utils import instantiate
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import DummyExperiment
from torch.utils.data import DataLoader

from igpo_lightning.config import composed
from igpo_lightning.console import join
from igpo_lightning.reporting import samples
from igpo_lightning.reporting.callbacks import LearningRate, RolloutProgress, SampleTable
from igpo_lightning.reporting.cells import rollout_cells, short, supervised_cells
from igpo_lightning.reporting.header import header, parameters, quantity
from igpo_lightning.reporting.sample_loggers import as_html, log_samples
from igpo_lightning.sample_record import SampleRecord

CONF = Path(__file__).parents[3] / "conf"
PASSES = 2  # batches per rollout


@dataclass
class Batch:
    index: int
    iteration: int


class Module(pl.LightningModule):
    """Logs as the real one does: at the end of a batch, after the callbacks have seen it."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return self.weight * 0

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if isinstance(batch, Batch):
            self.log("train/kl", batch.index / 100 + batch.iteration / 1000)
            if batch.iteration == 0:
                self.log("rollout/reward", 0.1 * (batch.index + 1))
        else:
            self.log("train/loss", float(batch_idx))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Data(pl.LightningDataModule):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def train_dataloader(self):
        return DataLoader(self.batches, batch_size=None)


class Rollouts(Data):
    def __init__(self, rollouts):
        super().__init__([Batch(r, i) for r in range(rollouts) for i in range(PASSES)])
        self.rollouts = rollouts

    def describe(self):
        return "2 problems"

    def sample_records(self, count):
        return [record(text) for text in "abcdef"[:count]]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def record(text="a"):
    return SampleRecord(2, "Q?", "7", [(text, False), ("hint", True)], 1.0, True, True)


def fit(tmp_path, data, *callbacks, logger=False):
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, callbacks=list(callbacks), logger=logger,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(Module(), datamodule=data)
    return trainer


def test_short_numbers():
    assert [short(x) for x in (0.314, -0.25, 1.0, 12.345, 0.999, None, float("nan"))] == [
        ".31", "-.25", "1.00", "12.35", "1.00", None, None,
    ]  # fmt: skip
    assert short(0.0021, 3) == ".002"


def test_the_cells_of_a_rollout():
    metrics = {
        "rollout/reward": 0.31, "rollout/reward_before": 0.22, "rollout/all_wrong_before": 0.55,
        "rollout/all_wrong_after": 0.08, "rollout/hint_success": 0.47, "rollout/resampled": 32.0,
        "val/accuracy": 0.31, "train/kl": 0.002,
    }  # fmt: skip
    assert join(rollout_cells(metrics)) == (
        "reward .31 (before .22) | all-wrong .55→.08 | second tries ok .47 | acc .31 | kl .002"
    )
    swapped = {**metrics, "rollout/resampled": 0.0}  # what is left of tries is of an earlier rollout
    assert join(rollout_cells(swapped)) == "reward .31 (before .22) | all-wrong .55→.08 | acc .31 | kl .002"
    alone = {**swapped, "rollout/reward": 0.22, "rollout/all_wrong_after": 0.55}
    assert join(rollout_cells(alone)) == "reward .22 | all-wrong .55 | acc .31 | kl .002"
    assert join(supervised_cells({"train/loss": 2.5, "val/accuracy": 0.1})) == "loss 2.50 | val acc .10"


def test_one_line_per_window_with_all_of_that_window_in_it(tmp_path):
    out = io.StringIO()
    fit(tmp_path, Rollouts(3), RolloutProgress(stream=out))
    lines = [line for line in out.getvalue().splitlines() if line.startswith("rollout")]
    assert [line.split(" | ")[:3] for line in lines] == [
        ["rollout 1/3", "reward .10", "kl .001"],
        ["rollout 2/3", "reward .20", "kl .011"],
        ["rollout 3/3", "reward .30", "kl .021"],
    ]
    assert lines[-1].endswith("ETA 0:00") and "s/rollout" in lines[0]


def test_on_a_terminal_the_line_is_rewritten_and_prints_stand_above_it(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.get_terminal_size", lambda *args, **kwargs: os.terminal_size((40, 20)))
    out = Terminal()
    fit(tmp_path, Rollouts(2), RolloutProgress(stream=out))
    lines = out.getvalue()[out.getvalue().index("\r\x1b[2Krollout") :]
    assert lines.count("\n") == 1 and lines.endswith("\n")
    assert max(len(part) for part in lines.split("\r\x1b[2K")) <= 40
    assert "ETA 0:00" in lines


def test_the_encoding_of_a_large_set_is_shown_before_a_stage_is_set_up(tmp_path, monkeypatch):
    monkeypatch.setattr("igpo_lightning.data.encoding._CHUNK", 10)
    module, data = rollout_fit(tiny_policy(), rollouts=1)
    out, seconds = io.StringIO(), count(0, 10)
    line = RolloutProgress(stream=out, clock=lambda: next(seconds), stage="igpo")  # every line is due
    trainer(tmp_path, callbacks=[line]).fit(module, datamodule=data)
    before, _, after = out.getvalue().partition("stage   igpo")
    size = len(data.source.train)
    lines = [text.partition(" |")[0] for text in before.splitlines() if text]
    assert list(dict.fromkeys(lines))[-3:] == [f"encoding {n}/{size} rows" for n in (10, 20, size)]
    assert after and "\nencoding" not in after


def test_supervised_training_is_shown_by_time(tmp_path):
    every, rarely = io.StringIO(), io.StringIO()
    fit(tmp_path, Data([0, 1, 2]), RolloutProgress(0.0, every), RolloutProgress(1000.0, rarely))
    lines = [line for line in every.getvalue().splitlines() if line.startswith("step")]
    heads = [line.split(" | ")[:2] for line in lines]
    assert heads == [["step 1/3", "loss .00"], ["step 2/3", "loss 1.00"], ["step 3/3", "loss 2.00"]]
    assert [line.split(" | ")[0] for line in rarely.getvalue().splitlines()[3:]] == ["step 3/3"]


def test_samples_every_n_rollouts_to_file_and_console(tmp_path, capsys):
    path = tmp_path / "samples.jsonl"
    samples.append(path, [record("left over")])
    table = SampleTable(path, every_n_rollouts=2, samples=3, console=1)
    fit(tmp_path, Rollouts(4), table)
    assert [sample.pieces[0][0] for sample in samples.read(path)] == ["a", "b", "c"]
    assert len(path.read_text().splitlines()) == 6  # windows 0 and 2, which show the same three
    assert capsys.readouterr().out.count("A: a[[hint]]") == 2


def test_samples_are_printed_above_the_progress_line(tmp_path):
    out = io.StringIO()
    fit(tmp_path, Rollouts(1), RolloutProgress(stream=out), SampleTable(tmp_path / "s.jsonl", console=1))
    assert "[rollout 3] right, inpainted, reward 1.00, gold 7\n  Q: Q?\n  A: a[[hint]]\nrollout 1/1 | " in (
        out.getvalue()
    )


@pytest.mark.parametrize(("wish", "coloured"), [(None, True), ("", True), ("1", False), ("0", False)])
def test_samples_are_without_colours_where_the_user_asks_for_that(tmp_path, monkeypatch, wish, coloured):
    monkeypatch.delenv("NO_COLOR", raising=False)
    if wish is not None:
        monkeypatch.setenv("NO_COLOR", wish)
    monkeypatch.setattr("sys.stdout", out := Terminal())
    fit(tmp_path, Rollouts(1), SampleTable(tmp_path / "s.jsonl", console=1))
    assert ("\x1b[30;43mhint\x1b[0m" in out.getvalue(), "[[hint]]" in out.getvalue()) == (
        coloured,
        not coloured,
    )


def test_a_stage_begins_with_what_it_works_with(tmp_path):
    out = io.StringIO()
    fit(tmp_path, Rollouts(1), RolloutProgress(stream=out, stage="igpo", model="tiny", data="toys"))
    threads = torch.get_num_threads()
    assert out.getvalue().splitlines()[:5] == [
        "stage   igpo",
        "model   tiny, 1 parameters, all trained",
        f"device  CPU with {threads} thread{'s' * (threads > 1)}, 1 process, 32-true",
        "data    toys, 2 problems",
        f"folder  {tmp_path}",
    ]


def test_parameters_are_counted_whole_and_trained_ones_apart():
    frozen = torch.nn.Parameter(torch.zeros(0), requires_grad=False)
    frozen.ds_numel = 8_015_581_184  # what ZeRO-3 leaves here is empty
    trained = torch.nn.Parameter(torch.zeros(2_500_000))
    assert parameters([frozen, trained]) == "2.5M of 8.02B parameters trained"
    assert [quantity(n) for n in (156_352, 42_000_000, 999_900_000)] == ["156,352", "42M", "1B"]


@pytest.mark.parametrize(
    ("experiment", "page"),
    [(SimpleNamespace(url="https://a/run"), "https://a/run"), (DummyExperiment(), None)],
)
def test_the_header_names_the_page_of_a_run_that_is_online(tmp_path, experiment, page):
    """On processes but the first, the experiment of a logger is one whose every attribute is a function."""
    trainer = SimpleNamespace(
        datamodule=None, precision="32-true", default_root_dir=str(tmp_path), num_nodes=1, world_size=2,
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        loggers=[SimpleNamespace(experiment=experiment)],
    )  # fmt: skip
    lines = header(trainer, torch.nn.Linear(2, 2), stage="sft").splitlines()
    assert lines[0] == "stage   sft" and "2 processes" in lines[2]
    assert [line.split()[1] for line in lines if line.startswith("online")] == ([page] if page else [])


def test_supervised_training_has_no_samples(tmp_path):
    fit(tmp_path, Data([0, 1]), SampleTable(tmp_path / "s.jsonl"))
    assert not (tmp_path / "s.jsonl").exists()


def test_samples_reach_tensorboard_and_wandb(tmp_path, monkeypatch):
    board = TensorBoardLogger(tmp_path, name="tb", version="")
    log_samples(board, [record()], step=4)
    board.experiment.flush()
    (events,) = (tmp_path / "tb").glob("events*")
    assert b"a[[hint]]" in events.read_bytes()

    logged = {}
    monkeypatch.setattr(WandbLogger, "log_table", lambda self, key, **kwargs: logged.update({key: kwargs}))
    log_samples(WandbLogger.__new__(WandbLogger), [record()], step=4)
    (row,) = logged["samples"]["data"]
    assert [*row[:2], *row[3:]] == [2, "Q?", "7", 1.0, None, True, True, ""]
    assert row[2].html == as_html(record()) and len(logged["samples"]["columns"]) == len(row)


def test_hints_are_coloured_for_wandb_and_all_text_is_escaped():
    columns = {"hint": [0, 1, 1, 0], "kept": [1, 1, 0, 1]}
    one = replace(record(), tokens=["<a>", "b", "c", "d"], columns=columns)
    assert re.sub(r' style="[^"]*"', "", as_html(one)) == (
        "<pre>&lt;a&gt;<span>b</span><span>c</span>d</pre>"
    )  # fmt: skip
    assert as_html(one).count("background") == as_html(one).count("dashed") == 1


def test_the_learning_rate_needs_no_logger(tmp_path):
    fit(tmp_path, Rollouts(1), LearningRate("step"))
    logger = CSVLogger(tmp_path, name="metrics", version="")
    fit(tmp_path, Rollouts(1), LearningRate("step"), logger=logger)
    assert "0.5" in (tmp_path / "metrics" / "metrics.csv").read_text()


def group(tmp_path, *overrides):
    cfg = composed([f"output_dir={tmp_path}", *overrides])
    built = {}
    for key in ("callbacks", "logger"):
        built[key] = {name: instantiate(entry) for name, entry in (cfg[key] or {}).items()}
    return built


def test_default_callbacks(tmp_path):
    callbacks = group(tmp_path)["callbacks"]
    assert {"progress", "samples", "checkpoint", "learning_rate", "finite", "watchdog"} <= set(callbacks)
    assert callbacks["samples"].path == tmp_path / "samples.jsonl"
    assert group(tmp_path, "callbacks=none")["callbacks"] == {}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("none", set()),
        ("csv", {"csv"}),
        ("wandb", {"csv", "wandb"}),
        ("tensorboard", {"csv", "tensorboard"}),
        ("all", {"csv", "wandb", "tensorboard"}),
    ],
)
def test_loggers(tmp_path, name, names):
    loggers = group(tmp_path, f"logger={name}")["logger"]
    assert set(loggers) == names
    if "csv" in names:
        assert Path(loggers["csv"].log_dir) == tmp_path / "metrics"
    if "wandb" in names:
        assert loggers["wandb"]._wandb_init["mode"] == "offline"
        assert loggers["wandb"]._wandb_init["project"] == "igpo_lightning"

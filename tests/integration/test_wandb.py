"""What W&B is told, read from its offline files: one run a stage, its config, one group for a sweep."""

import json
from itertools import pairwise

import pytest
from fakes import TINY, TINY_RL, compose
from wandb.proto import wandb_internal_pb2 as protocol

from igpo_lightning.reporting import wandb_logger
from igpo_lightning.reporting.panels import COMPLETIONS, SAMPLES, UPDATES
from igpo_lightning.reporting.summary import AFTER, BEFORE, TEST
from igpo_lightning.train import main

BLOCK = 32768  # of the log format (LevelDB's): records are cut at its borders
LOGGED = [
    *(o for o in TINY if not o.startswith(("logger", "callbacks"))),
    *TINY_RL,
    *("algo=igpo", "algo.rollouts=1", "report=false", "logger=wandb", "logger.wandb.tags=[mine]"),
    'warm_start=["algo.steps=2","algo.batch_size=8","algo.validate_every=2"]',
]


def records(path):
    """The protocol's records in a ``.wandb`` file."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = BLOCK - at % BLOCK
        if left < 7:
            at += left
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of it, or its last part
            record = protocol.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def told(folder):
    """(run, config, summary) of each offline run beneath ``folder``, in the order of their starts."""
    found = []
    for path in folder.rglob("*.wandb"):
        run, config, summary = None, {}, {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            run = record.run if kind == "run" else run
            parts = ((config, record.run.config), (config, record.config), (summary, record.summary))
            for updated, item in ((kept, item) for kept, part in parts for item in part.update):
                updated[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
        found.append((run, config, summary))
    return sorted(found, key=lambda each: each[0].start_time.ToNanoseconds())


@pytest.fixture
def train(tmp_path, monkeypatch):
    """The program, in ``tmp_path``; returns what W&B was told."""
    monkeypatch.chdir(tmp_path)

    def trained(*overrides, flags=()):
        quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
        monkeypatch.setattr("sys.argv", ["igpo-train", *flags, *quiet, *LOGGED, *overrides])
        try:
            main()
        except SystemExit as stop:
            assert not stop.code
        return told(tmp_path)

    return trained


@pytest.mark.slow
def test_the_jobs_of_a_sweep_are_runs_of_their_own_in_one_group(train):
    found = train("seed=0,1", "sweep_dir=many/one", flags=["-m"])
    assert len({run.run_id for run, _, _ in found}) == 4
    assert {run.run_group for run, _, _ in found} == {"many/one"}
    assert [run.job_type for run, _, _ in found] == ["sft", "igpo"] * 2
    assert [config["seed"] for _, config, _ in found] == [0, 0, 1, 1]
    for run, config, summary in found:
        assert list(run.tags) == ["mine"] and run.display_name.startswith(f"{run.job_type} · seed-")
        assert config["algo"]["name"] == run.job_type and config["data"]["source"]["train_size"] == 24
        assert 0 <= summary["val/accuracy_after"] <= 1
    assert found[1][1]["algo"]["inpaint"]["ratio"] == [0.2, 0.6]
    for (_, _, sft), (_, _, rl) in list(pairwise(found))[::2]:
        assert sft["val/accuracy_after"] == rl["val/accuracy_before"]
        assert "test/accuracy" in rl and "test/accuracy" not in sft  # reported once, at the end


@pytest.mark.slow
def test_a_resumed_stage_goes_on_under_its_id(train):
    named = ("output_dir=run", "logger.wandb.name=mine", "logger.wandb.id=abc")
    first = train(*named)
    names = [(run.run_id, run.display_name) for run, _, _ in first]
    assert names == [("abc-sft", "mine · sft"), ("abc", "mine")]
    assert len({run.run_group for run, _, _ in first}) == 1
    again = train("output_dir=run", "algo.rollouts=2", "resume=auto")
    assert [run.run_id for run, _, _ in again] == ["abc-sft", "abc", "abc"]


@pytest.mark.slow
def test_the_last_stage_has_the_page_and_every_row_its_place(train, tmp_path):
    """What a dashboard draws is there: see igpo_lightning/reporting/panels.py."""
    (_, _, sft), (_, _, rl) = train("output_dir=run", "report=true", "callbacks=default")
    assert "report._type" not in sft and rl["report._type"] == "html-file"
    (sent,) = tmp_path.rglob("media/html/report_*.html")
    assert sent.read_bytes() == (tmp_path / "run" / "report.html").read_bytes()
    assert {BEFORE, AFTER, TEST} <= set(rl) and rl[f"{SAMPLES}._type"] == "table-file"
    (file,) = (tmp_path / "run" / "wandb").rglob("*.wandb")
    rows = [record.history for record in records(file) if record.WhichOneof("record_type") == "history"]
    rows = [{item.key or item.nested_key[0]: item.value_json for item in row.item} for row in rows]
    assert all(UPDATES in row for row in rows)
    assert any({"val/accuracy", COMPLETIONS} <= set(row) for row in rows)


def test_without_wandb_nothing_is_identified(tmp_path):
    cfg = compose(tmp_path, "algo=igpo", "sweep_dir=x")
    before = cfg.copy()
    wandb_logger.identify(cfg)
    wandb_logger.for_warm_start(cfg, "sft")
    assert cfg == before

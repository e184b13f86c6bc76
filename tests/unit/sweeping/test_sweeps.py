"""Whole sweep commands with small jobs: what runs, what is kept, what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from igpo_lightning.sweeping.record import FILE, Record

SWEEP = ("-m", "seed=1,2,3", "sweep_dir=s")


def states(folder: Path) -> dict[str, str]:
    records = {
        path.parent.name.rpartition("_")[0]: Record.read(path.parent) for path in folder.glob(f"*/{FILE}")
    }
    return {name: record.state for name, record in sorted(records.items())}


def test_every_job_runs_once_and_is_kept_after(program, tmp_path, capsys):
    assert program(*SWEEP) == 0
    assert program.ran == ["1 auto", "2 auto", "3 auto"]
    assert "3 done\n" in capsys.readouterr().out
    assert program(*SWEEP) == 0
    assert program.ran == []
    assert "3 done before\n" in capsys.readouterr().out
    assert program("-m", "sweep_dir=s", "seed=3,4") == 0  # longer, and typed in another order
    assert program.ran == ["4 auto"]
    assert states(tmp_path / "s") == dict.fromkeys(["seed-1", "seed-2", "seed-3", "seed-4"], "kept") | {
        "seed-4": "done", "seed-1": "kept", "seed-2": "kept",
    }  # fmt: skip


def test_other_settings_are_other_jobs(program):
    program("-m", "seed=1", "sweep_dir=s")
    assert program("-m", "seed=1", "sweep_dir=s", "algo.num_generations=4") == 0
    assert len(program.ran) == 1


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [("config", 2, "data.jsonl:3: not JSON"), ("bug", 1, "ZeroDivisionError: a bug"),
     ("exit7", 1, "SystemExit: 7")],
)  # fmt: skip
def test_one_that_fails_stops_no_other_is_named_and_runs_again_alone(
    program, tmp_path, capsys, kind, code, error
):
    (tmp_path / "kind").write_text(kind)
    command = ("-m", "seed=1,2", "sweep_dir=s", "raises=kind", "only=1")
    assert program(*command) == code
    assert program.ran == ["1 auto", "2 auto"]
    said = capsys.readouterr()
    assert "1 done, 1 failed\n" in said.out
    last = said.err.splitlines()[-1]
    assert last.startswith("  seed-1_") and error in last
    assert states(tmp_path / "s") == {"seed-1": "failed", "seed-2": "done"}
    (tmp_path / "kind").write_text("nothing")
    assert program(*command) == 0
    assert program.ran == ["1 auto"]


def test_an_interrupt_stops_the_sweep_and_it_goes_on_after(program, tmp_path, capsys):
    (tmp_path / "kind").write_text("interrupt")
    command = (*SWEEP, "raises=kind", "only=2")
    assert program(*command) == 130
    assert states(tmp_path / "s") == {"seed-1": "done", "seed-2": "stopped"}
    said = capsys.readouterr().out
    assert ": 1 done, 1 unfinished, 1 not reached\n" in said
    assert f"with sweep_dir={tmp_path}/s runs what is not done, and nothing else\n" in said
    (tmp_path / "kind").write_text("nothing")
    assert program(*command) == 0
    assert program.ran == ["2 auto", "3 auto"]


def test_a_job_that_was_killed_runs_again(program, tmp_path):
    program(*SWEEP)
    for path in (tmp_path / "s").glob(f"*/{FILE}"):
        raw = json.loads(path.read_text())
        if "seed=2" not in raw["overrides"]:
            path.write_text(json.dumps({**raw, "state": "running", "value": None}))
    assert program(*SWEEP) == 0
    assert program.ran == ["1 auto", "3 auto"]


def test_a_folder_with_something_else_is_refused(program, tmp_path, capsys):
    assert program("-m", "seed=4,5", "sweep_dir=s", "hydra.sweep.subdir=same") == 2
    assert "holds another job (seed=4); give another sweep_dir" in capsys.readouterr().err
    (tmp_path / "s" / "foreign").mkdir()
    (tmp_path / "s" / "foreign" / "provenance.json").touch()
    assert program("-m", "seed=4", "sweep_dir=s", "hydra.sweep.subdir=foreign") == 2
    assert "holds a run that is not of a sweep" in capsys.readouterr().err
    assert not (tmp_path / "s" / "foreign" / FILE).exists()


def test_a_resume_that_was_asked_for_is_left(program):
    (program.folder / "some.ckpt").touch()
    program("-m", "seed=1", "resume=some.ckpt", "sweep_dir=s")
    assert program.ran == ["1 some.ckpt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output_dir=x", "output_dir=x: a sweep gives its jobs their folders; sweep_dir=… says where"),
        ("output_dir=x/${seed}", "output_dir=x/${seed}: a sweep gives its jobs their folders"),
        ("output_dir=x,y", "output_dir=x: a sweep gives its jobs their folders"),
        ("experiment=placed", "output_dir=z/${name}: a sweep gives its jobs their folders"),
        ("dry_run=true,false", "dry_run: true or false for all jobs of a sweep"),
        ("algo.lr=interval(1,2)", "algo.lr: an interval has no end of values; take sweep=optuna"),
        ("hardware.num_nodes=2", "hardware.num_nodes=2: only sweep=slurm runs a job on several nodes"),
        ("sweep=joblb", "sweep=joblb: no such option; did you mean joblib?"),
        ("swep_dir=x", "unknown key 'swep_dir'; did you mean sweep_dir"),
    ],
)  # fmt: skip
def test_what_a_sweep_cannot_do_is_said_before_it_starts(
    program, conf_tree, tmp_path, capsys, override, message
):
    (conf_tree / "experiment" / "placed.yaml").write_text("# @package _global_\noutput_dir: z/${name}\n")
    assert program("-m", "seed=1,2", override) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "multirun").exists()


def test_a_job_for_several_devices_has_a_process_of_its_own(program, tmp_path, capfd):
    assert program(*SWEEP[:1], "seed=1,2", "sweep_dir=s", "hardware.devices=2", "raises=bug", "only=2") == 1
    assert program.ran == ["1 auto", "2 auto"]
    assert len({*program.processes, os.getpid()}) == 3
    records = [Record.read(path.parent) for path in sorted((tmp_path / "s").glob(f"*/{FILE}"))]
    assert [(r.state, r.value, r.error) for r in records] == [
        ("done", 0.1, None), ("failed", None, "ZeroDivisionError: a bug"),
    ]  # fmt: skip
    assert "ZeroDivisionError" in capfd.readouterr().err


@pytest.mark.parametrize(("kind", "code", "state"), [("config", 2, "failed"), ("interrupt", 130, "stopped")])
def test_how_a_process_of_its_own_ends_is_how_the_job_ends(program, tmp_path, kind, code, state):
    assert program("-m", "seed=1", "sweep_dir=s", "hardware.strategy=ddp", f"raises={kind}") == code
    assert states(tmp_path / "s") == {"": state}


def test_showing_the_configuration_runs_nothing(program, tmp_path, capsys):
    assert program("--cfg", "job", "sweep=basic") == 0
    assert not (tmp_path / "multirun").exists()
    assert "sweep_dir:" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["-m", "sweep=always"])
def test_a_dry_run_is_one_of_every_job_and_makes_no_folder_of_the_sweep(program, conf_tree, capsys, how):
    (conf_tree / "sweep" / "always.yaml").write_text(
        "# @package _global_\ndefaults: [basic]\nhydra: {mode: MULTIRUN}\n"
    )
    assert program("seed=4,6", how, "sweep_dir=s", "dry_run=true", "name=x", "algo=grpo,igpo") == 0
    assert program.ran == ["4 None", "4 None", "6 None", "6 None"]
    assert [line for line in capsys.readouterr().out.splitlines() if "sweep" in line] == [
        f"[sweep] seed={seed} algo={algo}" for seed in (4, 6) for algo in ("grpo", "igpo")
    ]
    assert not (program.folder / "s").exists()


@pytest.mark.parametrize(("kind", "code"), [("config", 2), ("bug", 1)])
def test_a_dry_run_goes_on_after_a_job_that_is_refused(program, tmp_path, kind, code):
    assert program("-m", "seed=4,6", "dry_run=true", f"raises={kind}", "only=4") == code
    assert program.ran == ["4 None", "6 None"]
    assert not (tmp_path / "multirun").exists()


def test_a_dry_run_that_is_interrupted_ends(program):
    assert program("-m", "seed=4,6", "dry_run=true", "raises=interrupt") == 130
    assert program.ran == ["4 None"]

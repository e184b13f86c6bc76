from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

import igpo_lightning
from igpo_lightning import cli
from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.help import help_text
from igpo_lightning.config import find_conf

JOBS = """
from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.help import help_text
from igpo_lightning.config import find_conf

def run(cfg):
    with open(cfg.log, "a") as file:
        if cfg.raises == "path":
            print(repr(cfg.output_dir), file=file)
        print(cfg.seed, file=file)
    kind = cfg.raises if cfg.only is None or cfg.only == cfg.seed else None
    if kind == "config":
        raise ConfigError("data.jsonl:3: not JSON")
    if kind == "wrapped":
        raise RuntimeError("Error in call to target") from ConfigError("model.path: of another model")
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "target":
        from hydra.utils import instantiate
        from omegaconf import OmegaConf
        instantiate(OmegaConf.create({"a": {"b": {"_target_": "json.nowhere.X"}}}).a.b)
    if kind == "exit":
        raise SystemExit(7)
"""


@pytest.fixture
def program(conf_tree, tmp_path, monkeypatch):
    """``program("seed=1")`` runs the command line in this process and gives its exit code."""
    (tmp_path / "jobs_of_test_cli.py").write_text(JOBS)
    with (conf_tree / "train.yaml").open("a") as file:
        file.write(f"raises: null\nonly: null\nlog: {tmp_path}/log\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("igpo_lightning.cli.program.find_conf", lambda: conf_tree)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    main = cli.entry("train", "jobs_of_test_cli:run")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["program", *arguments])
        try:
            main()
        except SystemExit as stop:
            return stop.code
        return 0

    yield run
    sys.modules.pop("jobs_of_test_cli", None)


def test_a_good_command_line_runs_once(program, tmp_path):
    assert program("seed=3") == 0
    assert (tmp_path / "log").read_text() == "3\n"


def test_a_sweep_runs_every_job(program, tmp_path):
    assert program("-m", "seed=3,4") == 0
    assert (tmp_path / "log").read_text() == "3\n4\n"


def test_a_bad_override_runs_nothing(program, tmp_path, capsys):
    assert program("algo.num_genrations=4") == 2
    assert capsys.readouterr().err == (
        "error: unknown key 'algo.num_genrations'; "
        "did you mean algo.num_generations or algo.num_iterations?\n"
    )
    assert "jobs_of_test_cli" not in sys.modules
    assert sorted(p.name for p in tmp_path.iterdir()) == ["conf", "jobs_of_test_cli.py"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("config", "error: data.jsonl:3: not JSON\n"), ("wrapped", "error: model.path: of another model\n")],
)
def test_bad_input_found_during_the_run_is_one_line(program, capsys, kind, message):
    assert program(f"raises={kind}") == 2
    assert capsys.readouterr().err == message


def test_bad_input_in_a_sweep_names_the_job_and_lets_the_others_run(program, capsys, tmp_path):
    assert program("-m", "seed=3,4,5", "raises=config", "only=4") == 2
    err = capsys.readouterr().err
    assert "error: data.jsonl:3: not JSON" in err
    assert "seed=4" in err
    assert "Traceback" not in err
    assert (tmp_path / "log").read_text() == "3\n4\n5\n"


def test_the_traceback_is_there_when_asked_for(program, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ConfigError, match="not JSON"):
        program("raises=config")


def test_a_bug_keeps_its_traceback(program, capsys):
    assert program("raises=bug") == 1
    assert "ZeroDivisionError: a bug" in capsys.readouterr().err


def test_an_interrupt_is_clean(program, capsys):
    assert program("raises=interrupt") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_exit_code_is_kept(program):
    assert program("raises=exit") == 7


def test_a_job_travels_to_another_process():
    job = pickle.loads(pickle.dumps(cli.Job("igpo_lightning.train:run")))
    assert (job.run, job.__module__) == ("igpo_lightning.train:run", "igpo_lightning.train")


def test_help_lists_groups_options_and_usual_settings(program, capsys):
    assert program("--help") == 0
    out = capsys.readouterr().out
    assert "A small program." in out
    assert "  algo        grpo  *igpo\n" in out
    assert "  data        dangling  jsonl  *toy\n" in out
    assert "  algo.inpaint.ratio=[0.2,0.6]\n" in out
    assert "sampler.steps" not in out  # this tree has none
    assert len(out.splitlines()) < 40


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (["algo=sft"], "algo.steps=1800"),
        (["algo=sft", "model=llada"], "sampler.length=256"),
        (["algo=sft", "algo.steps=3"], "algo.steps=1800"),  # of the groups alone
        (["algo=wd1", "seed=1"], "algo.rollouts=40"),
    ],
)
def test_help_is_that_of_the_groups_in_the_line(line, shown):
    """algo=sft has no loss, advantage or second tries: of such groups it marks no choice."""
    text = help_text(find_conf(), "train", line)
    assert shown in text.split()
    choices = {
        word.split("=")[0]: word.split("=")[1] for word in line if word.split("=")[0] in ("algo", "model")
    }
    rows = {
        row.split()[0]: row.split()[1:] for row in text.splitlines() if row.startswith("  ") and row.split()
    }
    for group, option in choices.items():
        assert f"*{option}" in rows[group]
    assert any(option.startswith("*") for option in rows["algo/loss"]) == ("algo=sft" not in line)


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("algo.num_genration=4", 2), ("--version", 0)])
def test_answers_come_without_anything_heavy(conf_tree, argument, code):
    script = (
        "import sys; from pathlib import Path; import igpo_lightning.cli.program as program\n"
        f"program.find_conf = lambda: Path({str(conf_tree)!r})\n"
        "try: program.entry('train', 'absent.module:run')()\n"
        "finally: assert not {'torch', 'lightning', 'transformers', 'numpy', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, argument],
        capture_output=True, text=True, env={**os.environ, "HYDRA_FULL_ERROR": "0"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "AssertionError" not in done.stderr


def test_a_disk_that_is_full_is_one_line_and_leaves_nothing(program, tmp_path, monkeypatch, capsys):
    def full(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert program("hydra.run.dir=new/run") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: hydra.run.dir={tmp_path}/new/run: could not be written to: ")
    assert said.count("\n") == 1 and not (tmp_path / "new").exists()


def test_flags_may_stand_between_overrides(program, tmp_path, capsys):
    assert program("seed=3,4", "-m", "verbose=true") == 0
    assert (tmp_path / "log").read_text() == "3\n4\n"
    assert program("seed=5", "--cfg", "job", "name=x") == 0
    assert "seed: 5\nname: x\n" in capsys.readouterr().out


def test_a_folder_of_ones_own_is_searched_before_conf(program, tmp_path, capsys):
    (tmp_path / "own" / "data").mkdir(parents=True)
    (tmp_path / "own" / "data" / "toy.yaml").write_text("rows: 7\n")
    assert program("--config-dir", "own", "--cfg", "job", "data.rows=8") == 0
    assert "data:\n  rows: 8\n" in capsys.readouterr().out
    assert program("--config-dir", "own", "data.size=8") == 2
    assert "'data.size' with data=toy; it exists with data=dangling" in capsys.readouterr().err
    assert program("--cfg", "job", "data.size=8") == 0


def test_the_config_of_a_sweep_is_that_of_its_first_job(program, capsys):
    assert program("-m", "--cfg", "job", "seed=3,4") == 0
    out = capsys.readouterr().out
    assert out.startswith("# the first job of the sweep: seed=3\n") and "\nseed: 3\n" in out


def test_a_name_of_digits_reaches_the_job_as_a_text(program, tmp_path):
    assert program("output_dir=2024", "raises=path") == 0
    assert (tmp_path / "log").read_text() == "'2024'\n0\n"
    assert program("-m", "output_dir=2024,1e3", "raises=path") == 0
    assert (tmp_path / "log").read_text().endswith("'2024'\n0\n'1e3'\n0\n")


def test_home_in_a_file_is_expanded_for_the_job(program, conf_tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (conf_tree / "experiment" / "home.yaml").write_text("# @package _global_\noutput_dir: ~/here\n")
    assert program("experiment=home", "raises=path") == 0
    assert (tmp_path / "log").read_text() == f"'{tmp_path}/here'\n0\n"


def test_a_class_in_the_current_folder_is_found(program, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    assert program("seed=4") == 0  # jobs_of_test_cli.py lies there
    assert str(tmp_path) in sys.path


def test_a_class_that_cannot_be_imported_is_one_line(program, capsys):
    assert program("raises=target") == 2
    assert capsys.readouterr().err.startswith("error: a.b._target_: Error loading 'json.nowhere.X'")


def test_a_python_without_the_packages_is_told_in_one_line():
    root = Path(igpo_lightning.__file__).resolve().parents[1]
    command = [sys.executable, "-S", "-m", "igpo_lightning.train", "--help"]  # -S: no installed packages
    done = subprocess.run(command, cwd=root, env={"PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the package hydra is not installed for ")

"""Programs that take a folder read their line, help and refuse alike."""

import importlib
from pathlib import Path

import pytest

PROGRAMS = ["report", "collect", "export", "rescore"]


@pytest.fixture(params=PROGRAMS)
def call(request, tmp_path, monkeypatch, capsys):
    """``call(*arguments)`` gives (exit code, output, errors) of each program."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments, program=request.param):
        try:
            code = importlib.import_module(f"igpo_lightning.{program}").main(arguments)
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    called.name = request.param
    called.needed = ["output_dir=x"] if called.name == "export" else []
    return called


def folder(path, *files):
    for name in files:
        (Path(path) / name).parent.mkdir(parents=True, exist_ok=True)
        (Path(path) / name).touch()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "give a folder: python -m igpo_lightning.{} FOLDER"), (["a=1"], "give a folder: "),
     ([""], "the folder is empty (is a variable of the script?)"),
     (["--lr"], "--lr: no such flag; python -m igpo_lightning.{} --help says what there is"),
     (["nowhere"], "nowhere: no such folder"), (["file"], "file: a file, not a folder"),
     (["empty", "seed=1"], "seed=1: expected "), (["empty", "more"], "more: expected ")],
)  # fmt: skip
def test_a_wrong_line_gets_one_line(call, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    if call.name == "export" and ": expected " in message:
        message = {"seed=1": "unknown key 'seed'", "more": "more: expected key=value"}[arguments[1]]
    code, out, error = call(*arguments)
    assert (code, out) == (2, "") and error.count("\n") == 1
    assert error.startswith(f"error: {message.format(call.name)}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_help_looks_alike(call):
    code, out, error = call("--help")
    lines = out.splitlines()
    assert (code, error) == (0, "")
    assert lines[0].startswith(f"usage: python -m igpo_lightning.{call.name} FOLDER")
    assert sum(line.startswith("FOLDER is that of ") for line in lines) == 1
    assert ("settings (key=value):" in lines) == (call.name != "report")
    assert lines[-3:] == [
        "flags:", "  --help     print this, and stop", "  --version  print the version, and stop"
    ]  # fmt: skip
    assert len(lines) < 20
    assert call("--version")[1].startswith("igpo_lightning ")


def test_a_folder_without_any_is_refused_alike(call):
    folder("empty", "sub/file")
    code, _, error = call("empty", *call.needed)
    what = "evaluations" if call.name == "rescore" else "runs"
    assert code == 2 and error.startswith(f"error: empty: no {what} in it")


def test_a_sweep_is_not_a_run(call):
    if call.name == "collect":
        pytest.skip("it takes one")
    folder("many/seed-1_abc", "job.json", "manifest.json")
    folder("many/seed-0_abc", "job.json", "manifest.json")
    code, _, error = call("many", *call.needed)
    kind = "evaluation" if call.name == "rescore" else "run"
    together = ", or python -m igpo_lightning.collect many for all of them" if kind == "run" else ""
    refusal = f"many: has {kind}s in it and is none; give one of them, such as many/seed-0_abc{together}"
    assert (code, error) == (2, f"error: {refusal}\n")


@pytest.mark.parametrize(
    "form", [["a=1", "output_dir=x"], ["run=a=1", "output_dir=x"], ["output_dir=x", 'run="a=1"']]
)
def test_a_folder_may_be_named_like_a_setting(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    folder("a=1", "config.yaml")
    seen = []
    monkeypatch.setattr("igpo_lightning.training.exporting.run", seen.append)
    from igpo_lightning.export import main

    assert main(form) == 0
    assert [(cfg.run, cfg.output_dir, cfg.merge) for cfg in seen] == [("a=1", "x", False)]

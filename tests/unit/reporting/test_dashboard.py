"""``igpo-dashboard`` up to where it would ask W&B: which project, runs and arms, and what it refuses."""

import json
import sys

import pytest

from igpo_lightning.dashboard import main
from igpo_lightning.reporting.panels import as_data

ROWS = "rollout/reward,step\n0.25,1\n"


@pytest.fixture
def job(tmp_path):
    """``job("a", algo="igpo", project="p")`` makes a finished run that logged to W&B in ``many/a``."""

    def make(name, algo="igpo", seed=0, project="p", group="runs/many", entity=None, accuracy=0.5):
        folder = tmp_path / "many" / name
        (folder / "metrics").mkdir(parents=True)
        (folder / "metrics" / "metrics.csv").write_text(ROWS)
        wandb = f"logger: {{wandb: {{project: {project}, group: {group}, entity: {entity or 'null'}}}}}\n"
        own = f"seed: {seed}\nalgo: {{name: {algo}}}\noutput_dir: {folder}\n"
        (folder / "config.yaml").write_text(own + (wandb if project else ""))
        stage = {"name": algo, "accuracy_after": {"value": accuracy, "n": 10}}
        (folder / "summary.json").write_text(json.dumps({"stages": [stage], "seconds": 3.0}))

    return make


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """``call(*arguments)`` gives (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def called(*arguments):
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
        return (code, *capsys.readouterr())

    return called


def spec(call, *arguments):
    code, out, error = call(*arguments, "json=board.json")
    assert (code, error) == (0, "") and out.startswith("board.json: ")
    with open("board.json", encoding="utf-8") as file:
        return json.load(file)


def test_a_sweep_is_its_group_with_its_arms(call, job):
    job("a", "grpo", accuracy=0.25)
    job("b", "grpo", seed=1, accuracy=0.75)
    job("c", "igpo", entity="us")
    made = spec(call, "many")
    assert made.pop("sections") == json.loads(json.dumps(as_data()))
    table = made.pop("table").splitlines()
    assert made == {
        "make": ["workspace", "report"], "title": "igpo runs many", "project": "p", "entity": "us",
        "groups": ["runs/many"], "stages": ["grpo", "igpo"], "by": ["algo.name"],
    }  # fmt: skip
    assert table[2].split("|")[1:4] == [" grpo ", " 2    ", " 50.0% ± 25.0              "]
    assert spec(call, "many", "by=seed")["by"] == ["seed"]
    assert spec(call, "many", "by=algo")["by"] == ["algo.name"]


def test_a_run_has_arms_by_its_algorithm(call, job):
    job("a")
    made = spec(call, "many/a", "name=Mine", "make=report")
    assert (made["title"], made["make"], made["by"]) == ("Mine", ["report"], ["algo.name"])


def test_a_project_without_a_folder(call):
    made = spec(call, "project=us/p")
    assert (made["make"], made["entity"], made["project"], made["by"]) == (["workspace"], "us", "p", [])
    made = spec(call, "project=p", "group=a/b, c/d", "by=algo.name,seed")
    assert (made["make"], made["groups"]) == (["workspace", "report"], ["a/b", "c/d"])
    assert (made["entity"], made["by"], made["title"]) == (None, ["algo.name", "seed"], "igpo a b c d")


def test_a_dry_run_prints_all_panels(call):
    code, out, error = call("project=p", "group=a", "dry_run=true")
    assert (code, error) == (0, "")
    assert out.splitlines()[:6] == [
        "make     workspace and report “igpo a”", "project  p", "runs     of a", "stages   all",
        "arms     algo.name", "",
    ]  # fmt: skip
    assert "\nStability\n  KL to the reference: train/kl, log scale\n" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a project or a folder: project=NAME, or that of a run or of a sweep"),
        (["nowhere"], "nowhere: no such folder"),
        (["wandb=x"], "wandb=x: expected project=[ENTITY/]NAME or "),
        (["project=/p"], "project=/p: expected NAME or ENTITY/NAME"),
        (["project=a/b/c"], "project=a/b/c: expected NAME or ENTITY/NAME"),
        (["project=p", "make=page"], "make=page: expected workspace or report, or both with a comma"),
        (["project=p", "dry_run=yes"], "dry_run=yes: expected true or false"),
        (["project=p", "json=nowhere/b.json"], "json=nowhere/b.json: there is no folder nowhere"),
        (["project=p", "json=two"], "json=two: is a folder; give a file"),
        (["project=p", "group=lr=1"], "group=lr=1: W&B's library can't filter by a name with '='"),
        (["project=p", "group=it's"], """group=it's: W&B's library can't filter by a name with "'"""),
        (["many"], "many: its runs did not log to W&B (logger=wandb); name a project: project=NAME"),
        (["two"], "two: its runs are of p and q; choose one: project=NAME"),
    ],
)
def test_a_wrong_line_gets_one_line(call, job, tmp_path, arguments, message):
    job("a", project="p")
    job("b", project="q")
    (tmp_path / "many").rename(tmp_path / "two")
    job("c", project=None)
    code, out, error = call(*arguments)
    assert (code, out) == (2, "") and error.count("\n") == 1
    assert error.startswith(f"error: {message}")


def test_without_the_library_one_line_says_how_to_get_it(call, monkeypatch):
    monkeypatch.delitem(sys.modules, "igpo_lightning.reporting.boards", raising=False)
    monkeypatch.setitem(sys.modules, "wandb_workspaces.workspaces", None)
    code, out, error = call("project=p")
    assert (code, out) == (2, "")
    assert error.startswith("error: a dashboard needs the package wandb-workspaces: pip install 'igpo-")


def test_help_says_that_the_folder_may_be_left_out(call):
    code, out, _ = call("--help")
    assert code == 0 and out.startswith(
        "usage: python -m igpo_lightning.dashboard [FOLDER] [key=value ...]\n"
    )
    assert "\nFOLDER is that of a run or of a sweep that logged to W&B.\n" in out

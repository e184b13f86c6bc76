"""Dashboards in the words of wandb-workspaces, and as a server gets them."""

import json
import os
import subprocess
import sys

import pytest
import wandb
from wandb_server import Server, serving

pytest.importorskip("wandb_workspaces")

from igpo_lightning.errors import ConfigError
from igpo_lightning.reporting.boards import publish, report, workspace
from igpo_lightning.reporting.panels import SECTIONS, Board

BOARD = Board(
    "Mine", "p", None, ("runs/many",), ("grpo", "igpo"), ("algo.name", "algo.inpaint.ratio"), "| a |\n|---|"
)
PROGRAM = """
import sys
from igpo_lightning.dashboard import main
for line in sys.argv[1:]:
    try:
        main(line.split())
    except SystemExit as stop:
        print("exit", stop.code, flush=True)
"""


def test_a_workspace_has_every_section_and_panel_in_order():
    made = workspace(BOARD)
    assert [(each.name, len(each.panels), each.is_open) for each in made.sections] == [
        (each.name, len(each.panels), each.is_open) for each in SECTIONS
    ]
    accuracy = made.sections[0].panels[3]
    assert (accuracy.x, accuracy.y) == ("rollout/completions", ["val/accuracy"])
    kl, *_ = made.sections[3].panels
    assert (kl.y, kl.log_y, kl.x, kl.smoothing_type) == (["train/kl"], True, "trainer/global_step", None)
    wrong = made.sections[1].panels[0]
    assert (wrong.smoothing_type, wrong.smoothing_factor) == ("exponentialTimeWeighted", 0.6)
    assert made.sections[2].panels[3].metric_regex == "rollout/reward/.*"
    table, page = made.sections[-1].panels
    assert (table.table_name, page.media_keys) == ("samples", ["report"])


def test_a_report_compares_arms_by_mean_and_standard_error():
    made = report(BOARD)
    grids = [block for block in made.blocks if hasattr(block, "runsets")]
    compared = [section for section in SECTIONS if section.in_report]
    assert [len(grid.panels) for grid in grids] == [0, *(len(section.panels) for section in compared)]
    for grid in grids:
        (runs,) = grid.runsets
        assert runs.groupby == ["config.algo.name", "config.algo.inpaint.ratio"]
        assert runs.filters == """Metric("Group") == 'runs/many' and Metric("JobType") in ['grpo', 'igpo']"""
    panels = [panel for grid in grids for panel in grid.panels]
    assert {(each.groupby_aggfunc, each.groupby_rangefunc) for each in panels} == {("mean", "stderr")}
    places = [(each.layout.x, each.layout.y) for each in grids[1].panels]
    assert places[:4] == [(0, 0), (8, 0), (16, 0), (0, 6)]
    assert [block.text for block in made.blocks if type(block).__name__ == "MarkdownBlock"] == [BOARD.table]


def test_a_server_gets_both_and_what_is_not_there_is_refused(tmp_path):
    server = Server({("me", "p"): ["runs/many"] * 3})
    lines = ["project=p group=runs/many by=algo.name", "project=p group=none", "project=us/q"]
    with serving(server):
        own = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": server.url, "HOME": str(tmp_path)}
        environment = {**os.environ, **own, "WANDB_MODE": "online"}
        command = [sys.executable, "-c", PROGRAM, *lines]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    made, addressed, *codes = done.stdout.splitlines()
    assert made.startswith(f"workspace: {server.url}/me/p?nw="), done.stderr
    assert addressed == f"report: {server.url}/me/p/reports/igpo-runs-many--v1"
    assert codes == ["exit 2", "exit 2"]
    assert done.stderr.splitlines() == [
        "error: project=me/p: W&B has no runs of group none; wandb sync uploads those that were offline",
        "error: project=us/q: W&B has no such project (Could not find project q)",
    ]
    view, told = server.views
    assert [(each["entityName"], each["projectName"]) for each in server.views] == [("me", "p")] * 2
    assert (view["type"], told["type"]) == ("project-view", "runs")
    section = json.loads(view["spec"])["section"]
    (runs,) = section["runSets"]
    (group,) = runs["filters"]["filters"]
    assert (group["key"], group["op"]) == ({"section": "run", "name": "group"}, "=")
    assert group["value"] == "runs/many"
    assert [(key["section"], key["name"]) for key in runs["grouping"]] == [("config", "algo.value.name")]
    assert section["settings"]["xAxis"] == "trainer/global_step"
    blocks = json.loads(told["spec"])["blocks"]
    grids = [block["metadata"] for block in blocks if block["type"] == "panel-grid"]
    assert len(grids) == 1 + sum(section.in_report for section in SECTIONS)
    assert {grid["runSets"][0]["project"]["id"] for grid in grids} == {"7"}
    feed = grids[0]["runSets"][0]["runFeed"]
    assert feed["columnOrder"][1:3] == ["config:algo.value.name", "summary:test/accuracy"]


def test_a_server_that_cannot_be_reached_is_one_line(monkeypatch):
    def unreachable():
        raise wandb.errors.CommError("did not respond\nin time")

    monkeypatch.setattr(wandb, "Api", unreachable)
    with pytest.raises(ConfigError, match=r"^W&B: did not respond\nin time; is there a network"):
        list(publish(BOARD, ["workspace"]))


def test_without_an_account_one_line_says_so(tmp_path):
    own = {"HOME": str(tmp_path), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_API_KEY"} | own
    command = [sys.executable, "-c", PROGRAM, "project=p"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, stdin=-3)
    assert (done.stdout, done.returncode) == ("exit 2\n", 0)
    assert done.stderr.startswith("error: W&B: No API key configured.") and done.stderr.count("\n") == 1

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from igpo_lightning import provenance
from igpo_lightning.checks import ConfigError


@pytest.fixture
def cfg():
    return OmegaConf.create({"seed": 7, "algo": {"lr": 1e-3}, "twice": "${algo.lr}"})


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit of one file; no setting of the machine's git reaches it."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    who = ("-c", "user.name=n", "-c", "user.email=e@e")
    for command in (("init", "-q"), ("add", "a.txt"), (*who, "commit", "-qm", "first")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_a_run_folder_says_what_the_run_was(tmp_path, cfg, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "igpo_lightning.train", "name=two words"])
    provenance.write(tmp_path / "run", cfg)
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").twice == 1e-3
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert record["seed"] == 7
    assert record["packages"]["torch"].startswith("2.")
    assert record["command"] == "python -m igpo_lightning.train 'name=two words'"
    assert record["cpu"]["name"] and record["cpu"]["cores"] >= 1
    assert record["started"].endswith("+00:00")
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["config.yaml", "provenance.json"]


def test_a_run_that_goes_on_keeps_the_records_of_its_earlier_starts(tmp_path, cfg, monkeypatch):
    commands = [f"igpo-train resume={word}" for word in ("null", "auto", "old.ckpt")]
    for command in commands:
        monkeypatch.setattr(sys, "orig_argv", command.split())
        provenance.write(tmp_path, cfg)
    record = json.loads((tmp_path / "provenance.json").read_text())
    assert record["command"] == commands[-1]
    assert [start["command"] for start in provenance.starts(record)] == commands
    assert [start["command"] for start in record["earlier"]] == commands[:-1]
    assert all("earlier" not in start and start["started"] for start in record["earlier"])
    (tmp_path / "provenance.json").write_text("")
    with pytest.raises(ConfigError, match=r"provenance\.json: not JSON .*; move it away"):
        provenance.write(tmp_path, cfg)


def test_a_clean_commit(repository):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True)
    assert provenance.git_state(repository) == {
        "commit": head.stdout.strip(), "dirty": False, "diff_sha256": None, "untracked_files": 0,
    }  # fmt: skip


def test_changes_are_told_apart(repository):
    (repository / "new.txt").write_text("x\n")
    assert provenance.git_state(repository)["untracked_files"] == 1
    hashes = set()
    for text in ("two\n", "three\n"):
        (repository / "a.txt").write_text(text)
        state = provenance.git_state(repository)
        assert state["dirty"] is True
        hashes.add(state["diff_sha256"])
    assert len(hashes) == 2


def test_no_state_outside_a_checkout(repository, tmp_path, monkeypatch):
    inside = repository / "site-packages"
    inside.mkdir()
    assert provenance.git_state(inside) is None  # somebody else's repository around it
    assert provenance.git_state(tmp_path) is None
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(repository) is None


def test_a_run_without_git_is_recorded(tmp_path, cfg, monkeypatch):
    monkeypatch.setenv("PATH", "")
    provenance.write(tmp_path, cfg)
    assert json.loads((tmp_path / "provenance.json").read_text())["git"] is None


def test_a_package_that_is_absent_is_null(cfg, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package-at-all",))
    assert provenance.collect(cfg)["packages"] == {"no-such-package-at-all": None}

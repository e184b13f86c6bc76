"""From a command line, or a folder of runs, to dashboards: which project, runs and arms."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.folders import listed
from igpo_lightning.files import write_atomic
from igpo_lightning.paths import writable_file
from igpo_lightning.reporting.panels import Board, as_data, outline
from igpo_lightning.reporting.sweep import SweepResult, full_key, read_sweep
from igpo_lightning.reporting.sweep_jobs import Job, read_jobs
from igpo_lightning.reporting.sweep_write import table

KINDS = ("workspace", "report")
_ARM = "algo.name"


def make(folder: Path | None, given: Mapping[str, str]) -> None:
    """Make the dashboards of a command line, or print or write what they would be.

    Args:
        folder: Of a run or a sweep; None: ``given`` names the project.
        given: The settings of :mod:`igpo_lightning.dashboard`.
    """
    file = writable_file("json", given["json"]) if "json" in given else None
    board = choose(folder, given)
    kinds = _kinds(given.get("make"), board)
    dry = _flag("dry_run", given.get("dry_run", "false"))
    if file:
        spec = {"make": kinds, **vars(board), "sections": as_data()}
        write_atomic(file, json.dumps(spec, indent=2, ensure_ascii=False) + "\n")
        print(f"{file}: {' and '.join(kinds)}; nothing was sent")
    if dry:
        print(describe(board, kinds))
    if not (dry or file):
        _publish(board, kinds)


def choose(folder: Path | None, given: Mapping[str, str]) -> Board:
    """The board of a command line.

    Raises:
        ConfigError: It is not known of which project, or the folder's runs did not log to W&B.
    """
    jobs = read_jobs(folder) if folder else ()
    project, entity = _project(given.get("project"), jobs, folder)
    groups = listed(given.get("group")) or _all(jobs, "logger.wandb.group")
    result = read_sweep(folder, listed(given.get("by")) or None) if folder and _done(jobs) else None
    by = _keys(result) if result else listed(given.get("by"))
    return Board(
        title=given.get("name") or " ".join(["igpo", *groups]).replace("/", " "),  # it is part of an address
        project=project,
        entity=entity,
        groups=groups,
        stages=_all(jobs, "algo.name"),
        by=by or ((_ARM,) if groups else ()),
        table=table(result) if result else "",
    )


def _publish(board: Board, kinds: Sequence[str]) -> None:
    os.environ.setdefault("WANDB_SILENT", "true")  # before it is imported
    try:
        from igpo_lightning.reporting.boards import publish
    except ImportError as error:
        advice = "pip install 'igpo-lightning[dashboards]'"
        raise ConfigError(f"a dashboard needs the package wandb-workspaces: {advice} ({error})") from error
    for kind, address in publish(board, kinds):
        print(f"{kind}: {address}", flush=True)


def describe(board: Board, kinds: Sequence[str]) -> str:
    """The board as text: whose runs, which arms, and every panel."""
    where = f"{board.entity}/{board.project}" if board.entity else board.project
    rows = {
        "make": f"{' and '.join(kinds)} “{board.title}”",
        "project": where,
        "runs": f"of {' and '.join(board.groups)}" if board.groups else "all",
        "stages": ", ".join(board.stages) or "all",
        "arms": ", ".join(board.by) or "each run by itself",
    }
    head = [f"{name:{max(map(len, rows))}}  {text}" for name, text in rows.items()]
    return "\n".join([*head, "", outline()])


def _project(named: str | None, jobs: Sequence[Job], folder: Path | None) -> tuple[str, str | None]:
    """(project, entity or None)."""
    if named:
        entity, slash, project = named.rpartition("/")
        if not project or "/" in entity or (slash and not entity):
            raise ConfigError(f"project={named}: expected NAME or ENTITY/NAME")
        return project, entity or None
    if folder is None:
        raise ConfigError("give a project or a folder: project=NAME, or that of a run or of a sweep")
    projects, entities = _all(jobs, "logger.wandb.project"), _all(jobs, "logger.wandb.entity")
    if not projects:
        raise ConfigError(
            f"{folder}: its runs did not log to W&B (logger=wandb); name a project: project=NAME"
        )
    project, *others = projects
    if others or len(entities) > 1:
        raise ConfigError(f"{folder}: its runs are of {' and '.join(projects)}; choose one: project=NAME")
    return project, next(iter(entities), None)


def _keys(result: SweepResult) -> tuple[str, ...]:
    """The keys that tell arms apart, as the config at W&B has them: of a group its name or class."""
    settings = {key for job in result.jobs for key in job.settings}
    return tuple(full_key(key, settings) or key for key in result.keys)


def _kinds(named: str | None, board: Board) -> list[str]:
    kinds = list(listed(named)) or [kind for kind in KINDS if kind != "report" or board.groups]
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(f"make={named}: expected {' or '.join(KINDS)}, or both with a comma")
    return kinds


def _flag(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise ConfigError(f"{name}={text}: expected true or false")
    return text == "true"


def _all(jobs: Iterable[Job], key: str) -> tuple[Any, ...]:
    """The values of a setting, each once, in the jobs' order."""
    found = (job.settings.get(key) for job in jobs)
    return tuple(dict.fromkeys(value for value in found if value is not None))


def _done(jobs: Iterable[Job]) -> bool:
    return any(job.state == "done" for job in jobs)

"""Dashboards at W&B: a workspace of the panels, and a report that compares the arms of a sweep.

The panels are plain data (``panels.py``); here they are said in the words of the library wandb-workspaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import wandb
import wandb_workspaces.reports.v2 as reports
import wandb_workspaces.workspaces as workspaces
from wandb.errors import CommError, Error

from igpo_lightning.errors import ConfigError
from igpo_lightning.reporting.panels import SECTIONS, UPDATES, Board, Panel
from igpo_lightning.reporting.summary import AFTER, BEFORE, TEST

ws: Any = workspaces  # lists in there are of a class of its own, which plain ones become
wr: Any = reports

_COLUMNS = 3
_WIDTH, _HEIGHT = 8, 6  # of a report's panel; a page has 24 columns
_MOST_RUNS = 100  # of a panel; W&B shows 10 where nothing is said
_OF_ARMS = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stderr", "max_runs_to_show": _MOST_RUNS}


def workspace(board: Board) -> Any:
    """The saved view: every section, in order."""
    sections = [
        ws.Section(
            name=section.name,
            panels=[_panel(panel) for panel in section.panels],
            is_open=section.is_open,
            layout_settings=ws.SectionLayoutSettings(
                columns=_COLUMNS, rows=-(-len(section.panels) // _COLUMNS)
            ),
        )
        for section in SECTIONS
    ]
    runs = ws.RunsetSettings(
        filters=_filters(Group=board.groups),
        groupby=[ws.Config(key) for key in board.by],
        pinned_columns=["run:displayName", *_columns(board)],
    )
    return ws.Workspace(
        name=board.title,
        entity=board.entity or "",
        project=board.project,
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=UPDATES, max_runs=_MOST_RUNS),
        runset_settings=runs,
    )


def report(board: Board) -> Any:
    """The report: the table, then the sections that compare, each curve the mean of an arm."""
    grids = [
        [wr.H2(text=section.name), wr.PanelGrid(runsets=[_runs(board)], panels=panels, hide_run_sets=True)]
        for section in SECTIONS
        if section.in_report and (panels := [_panel(panel, i) for i, panel in enumerate(section.panels)])
    ]
    arms = f"Arms are runs alike in {', '.join(board.by)}: " if board.by else ""
    text = f"{arms}curves and bars are means, bands the standard error."
    return wr.Report(
        title=board.title,
        entity=board.entity or "",
        project=board.project,
        width="fluid",
        blocks=[
            wr.P(text=text),
            *([wr.MarkdownBlock(text=board.table)] if board.table else []),
            wr.H2(text="Runs"),
            wr.PanelGrid(runsets=[_runs(board)], panels=[]),
            *(block for grid in grids for block in grid),
        ],
    )


def publish(board: Board, kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Save the dashboards of these KINDS at W&B; yields (kind, its address) as each is there.

    Raises:
        ConfigError: No account, no network, or no such project or runs.
    """
    try:
        board = _found(board, wandb.Api())
        for kind in kinds:
            made = report(board) if kind == "report" else workspace(board)
            yield kind, made.save().url
    except ConfigError:
        raise
    except CommError as error:
        advice = "is there a network, and is the key this server's? dry_run=true needs neither"
        raise ConfigError(f"W&B: {error}; {advice}") from error
    except (Error, ValueError, RuntimeError, OSError) as error:
        raise ConfigError(f"W&B: {error}") from error


def _found(board: Board, api: Any) -> Board:
    """The board with its entity; refuses a project, or groups, without runs."""
    entity = board.entity or api.default_entity
    if not entity:
        raise ConfigError(f"project={board.project}: whose? give project=ENTITY/{board.project}")
    wanted = {"group": {"$in": list(board.groups)}} if board.groups else {}
    try:
        count = len(api.runs(f"{entity}/{board.project}", filters=wanted, per_page=1))
    except ValueError as error:
        raise ConfigError(f"project={entity}/{board.project}: W&B has no such project ({error})") from error
    if not count:
        of = f" of group {' or '.join(board.groups)}" if board.groups else ""
        advice = "wandb sync uploads those that were offline"
        raise ConfigError(f"project={entity}/{board.project}: W&B has no runs{of}; {advice}")
    return replace(board, entity=entity)


def _filters(**wanted: tuple[str, ...]) -> list[Any]:
    """Runs with one of the values of each attribute; one without values lets all through."""
    named = [(ws.Metric(name), values) for name, values in wanted.items() if values]
    return [key.isin(list(values)) if values[1:] else key == values[0] for key, values in named]


def _columns(board: Board) -> list[str]:
    """The runs' table beside their names: arms, and what they ended with."""
    keys = (key.partition(".") for key in board.by)
    arms = [f"config:{first}.value{dot}{rest}" for first, dot, rest in keys]
    return [*arms, *(f"summary:{name}" for name in (TEST, AFTER, BEFORE))]


def _runs(board: Board) -> Any:
    columns = ["run:displayName", *_columns(board)]
    return wr.Runset(
        name=" and ".join(board.groups) or "all runs",
        entity=board.entity or "",
        project=board.project,
        filters=_filters(Group=board.groups, JobType=board.stages),
        groupby=[f"config.{key}" for key in board.by],
        pinned_columns=columns,
        lock_columns=True,
    )


def _panel(panel: Panel, place: int = 0) -> Any:
    """The panel in W&B's words, as the ``place``-th of a report's section."""
    layout = wr.Layout(x=_WIDTH * (place % _COLUMNS), y=_HEIGHT * (place // _COLUMNS), w=_WIDTH, h=_HEIGHT)
    title = panel.title
    metrics: list[Any] = list(panel.metrics)
    if panel.kind == "line":
        return _line(panel, layout)
    if panel.kind == "bar":
        return wr.BarPlot(title=title, metrics=metrics, layout=layout, **_OF_ARMS)
    if panel.kind == "table":
        return wr.WeavePanelSummaryTable(table_name=metrics[0], layout=layout)
    return wr.MediaBrowser(title=title, media_keys=metrics, num_columns=1, layout=layout)


def _line(panel: Panel, layout: Any) -> Any:
    smoothing = {
        "smoothing_type": "exponentialTimeWeighted",
        "smoothing_factor": panel.smoothing,
        "smoothing_show_original": True,
    }
    return wr.LinePlot(
        title=panel.title,
        x=panel.x,
        y=list(panel.metrics),
        metric_regex=panel.pattern,
        log_y=panel.log or None,
        layout=layout,
        **_OF_ARMS,
        **(smoothing if panel.smoothing else {}),
    )

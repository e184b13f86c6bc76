"""Cells of the progress line: of a rollout, of supervised training, of the work under way."""

from __future__ import annotations

from collections.abc import Mapping

from igpo_lightning.console import Cell
from igpo_lightning.progress import Work
from igpo_lightning.reporting.table import duration


def short(value: float | None, digits: int = 2) -> str | None:
    """``0.314`` as ``.31``; None stays None, and so does NaN."""
    if value is None or value != value:
        return None
    text = f"{value:.{digits}f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def rollout_cells(metrics: Mapping[str, float]) -> list[Cell]:
    """The cells of one rollout, leaving out what was not measured."""
    reward, before = short(metrics.get("rollout/reward")), short(metrics.get("rollout/reward_before"))
    wrong = short(metrics.get("rollout/all_wrong_before"))
    final = short(metrics.get("rollout/all_wrong_after"))
    # Of a rollout without second tries, what is left there is of an earlier one.
    tried = short(metrics.get("rollout/hint_success")) if metrics.get("rollout/resampled") else None
    cells = []
    if reward:
        own = f" (before {before})" if before and (tried or before != reward) else ""
        cells.append(Cell(f"reward {reward}{own}", 2, short=f"reward {reward}"))
    if wrong:
        now = f"→{final}" if final and (tried or final != wrong) else ""
        cells.append(Cell(f"all-wrong {wrong}{now}", 3))
    if tried:
        cells.append(Cell(f"second tries ok {tried}", 5, short=f"tries ok {tried}"))
    return [*cells, *_cells(metrics, ("acc", "val/accuracy", 4, 2), ("kl", "train/kl", 6, 3))]


def supervised_cells(metrics: Mapping[str, float]) -> list[Cell]:
    """The cells of supervised training, leaving out what was not measured."""
    return _cells(
        metrics,
        ("loss", "train/loss", 2, 2),
        ("token acc", "train/token_accuracy", 5, 2),
        ("padding", "train/padding_share", 6, 2),
        ("val loss", "val/loss", 4, 2),
        ("val acc", "val/accuracy", 3, 2),
    )


def pace_cells(pace: str, seconds_left: float | None) -> list[Cell]:
    """Pace and ETA, which every line has room for."""
    left = [] if seconds_left is None else [Cell(f"ETA {duration(seconds_left)}")]
    return [Cell(pace), *left]


def work_cells(work: Work, seconds: float) -> list[Cell]:
    """Cells for ``work`` after so many seconds."""
    rows = f"{work.name} {int(work.progress):,}/{work.rows:,}"
    cells = [Cell(f"{rows} rows", 1, short=rows)]
    if work.blocks:
        cells.append(Cell(f"block {work.block}/{work.blocks}", 2))
    if not work.progress or seconds <= 0:
        return cells
    made, unit = (work.tokens, "tok/s") if work.width else (work.progress, "rows/s")
    left = (work.rows - work.progress) * seconds / work.progress
    return [*cells, *pace_cells(f"{rate(made / seconds)} {unit}", left)]


def rate(value: float) -> str:
    """Three digits or so: ``0.42``, ``37``, ``1,234``, ``12.3k``."""
    if value < 10:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value < 10_000 else f"{value / 1000:,.1f}k"


def _cells(metrics: Mapping[str, float], *wanted: tuple[str, str, int, int]) -> list[Cell]:
    """A cell for each (name, metric, rank, digits) that was measured."""
    found = ((name, short(metrics.get(key), digits), rank) for name, key, rank, digits in wanted)
    return [Cell(f"{name} {text}", rank) for name, text, rank in found if text]

"""Sampled completions as loggers show them: a table with coloured hints for W&B, text for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from igpo_lightning.reporting import samples as samples_file
from igpo_lightning.sample_record import SampleRecord

_COLUMNS = ["rollout", "prompt", "completion", "gold", "reward", "advantage", "correct", "inpainted", "trace"]
_LOOKS = {
    "kept": "background:#ffd98a;color:#000",
    "dropped": "outline:1px dashed #b7791f",
    "hint": "outline:1px solid #b7791f",
}


def log_samples(logger: Any, records: Sequence[SampleRecord], step: int) -> None:
    """Log them to ``logger``, if it is one that shows text."""
    if isinstance(logger, WandbLogger):
        logger.log_table("samples", columns=_COLUMNS, data=[_row(record) for record in records])
    elif isinstance(logger, TensorBoardLogger):
        text = "\n\n".join(f"```\n{samples_file.describe(record)}\n```" for record in records)
        logger.experiment.add_text("samples", text, step)


def as_html(record: SampleRecord) -> str:
    """The completion with its hints coloured: those with gradient filled, the others framed."""
    runs = samples_file.runs(record)
    marked = (
        f'<span style="{_LOOKS[kind]}">{escape(text)}</span>' if kind else escape(text) for text, kind in runs
    )
    return f'<pre style="white-space:pre-wrap">{"".join(marked)}</pre>'


def _row(record: SampleRecord) -> list[Any]:
    import wandb

    shown = wandb.Html(as_html(record), inject=False)
    head = [record.rollout, record.prompt, shown, record.answer, record.reward, record.advantage]
    return [*head, record.correct, record.inpainted, record.trace]

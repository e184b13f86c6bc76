"""The short table at the end of a run."""

from __future__ import annotations

from collections.abc import Sequence

from igpo_lightning.reporting.run import Run, StageRun, label
from igpo_lightning.reporting.summary import Accuracy


def table(run: Run) -> str:
    """A run's figures, beneath its title, as :func:`aligned` gives them."""
    return aligned([(run.title, "" if run.finished else "unfinished"), *facts(run)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also aligned plain text; its first row is the head."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([f"| {lines[0]} |", f"|{rule}|", *(f"| {line} |" for line in lines[1:])])


def facts(run: Run) -> list[tuple[str, str]]:
    """(what, value) pairs in reading order; what a run did not measure is left out."""
    rows = [(f"validation accuracy {when}", accuracy_cell(value)) for when, value in run.accuracies()]
    if run.test is not None:
        rows.append(("test accuracy", accuracy_cell(run.test)))
    if (rollouts := run.rollouts) is not None:
        rows += _rollout_facts(rollouts)
    elif (supervised := run.supervised) is not None:
        rows += _supervised_facts(supervised)
    rows.append(("wall time", _times(run)))
    return [(what, value) for what, value in rows if value]


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}%"


def duration(seconds: float | None) -> str:
    """``75`` seconds as ``1:15``, an hour more as ``1:01:15``."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _rollout_facts(run: StageRun) -> list[tuple[str, str]]:
    metrics = run.metrics
    before, after = (percent(metrics.mean(f"rollout/all_wrong_{when}")) for when in ("before", "after"))
    own = _first_last(run, run.own_reward)
    if run.change:
        sampled, final = run.change
        rows = [
            ("reward of the model alone, first → last fifth", own),
            (f"reward ({final}), first → last fifth", _first_last(run, "rollout/reward")),
            (f"groups all wrong, {sampled} → {final}", f"{before} → {after}" if before and after else ""),
        ]
    else:
        rows = [("reward, first → last fifth", own), ("groups all wrong", before)]
    return [
        *rows,
        ("second tries that are correct", percent(run.second_tries_correct)),
        ("rollouts", _number(len(metrics.values("rollout/reward")), ",.0f")),
        ("completions sampled", _number(run.completions, ",.0f")),
        ("tokens generated", _number(metrics.last("rollout/generated_tokens"), ",.0f")),
    ]


def _supervised_facts(run: StageRun) -> list[tuple[str, str]]:
    last = run.metrics.last
    return [
        ("validation loss", _number(last("val/loss"), ".3f")),
        ("validation token accuracy", percent(last("val/token_accuracy"))),
        ("validation token accuracy without padding", percent(last("val/text_token_accuracy"))),
        ("padding among the tokens of both", percent(last("val/padding_share"))),
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _first_last(run: StageRun, name: str) -> str:
    ends = run.metrics.ends(name)
    return "" if ends is None else f"{ends[0]:.3f} → {ends[1]:.3f}"


def accuracy_cell(accuracy: Accuracy) -> str:
    """An accuracy with its interval and n, as far as they are known."""
    known = interval(accuracy)
    return f"{percent(accuracy.value)}  ({known})" if known else percent(accuracy.value)


def interval(accuracy: Accuracy) -> str:
    """``95% CI 0.0 to 3.7, n = 100`` of an accuracy; nothing if n is unknown."""
    bounds = accuracy.interval()
    if bounds is None:
        return ""
    low, high = (100 * bound for bound in bounds)
    return f"95% CI {low:.1f} to {high:.1f}, n = {accuracy.n:,}"


def _times(run: Run) -> str:
    parts, total = stage_times(run), duration(run.seconds)
    if not total:
        return ", ".join(parts)
    return f"{total}  ({', '.join(parts)})" if len(parts) > 1 else total


def stage_times(run: Run) -> list[str]:
    """Each stage with its wall time."""
    return [
        f"{label(s.stage)} {duration(s.stage.seconds)}" for s in run.stages if s.stage.seconds is not None
    ]

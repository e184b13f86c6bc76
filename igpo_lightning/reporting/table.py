"""The short table at the end of a run."""

from __future__ import annotations

from igpo_lightning.reporting.run import Metrics, Run, StageRun, label
from igpo_lightning.reporting.summary import Accuracy

_STRETCH = 0.2  # "first" and "last" mean the first and the last fifth of the rollouts


def table(run: Run) -> str:
    """A Markdown table that is also aligned plain text."""
    rows = [(run.title, "" if run.finished else "unfinished"), *facts(run)]
    wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"| {name:<{wide[0]}} | {value:<{wide[1]}} |" for name, value in rows]
    lines.insert(1, f"|{'-' * (wide[0] + 2)}|{'-' * (wide[1] + 2)}|")
    return "\n".join(lines)


def facts(run: Run) -> list[tuple[str, str]]:
    """(what, value) pairs in reading order; what a run did not measure is left out."""
    rows = [(f"validation accuracy {when}", _accuracy(value)) for when, value in run.accuracies()]
    if run.test is not None:
        rows.append(("test accuracy", _accuracy(run.test)))
    if (rollouts := run.rollouts) is not None:
        rows += _rollout_facts(rollouts)
    elif (supervised := run.supervised) is not None:
        rows += _supervised_facts(supervised.metrics)
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
    completions = run.stage.completions or metrics.last("rollout/completions")
    tokens = metrics.last("rollout/generated_tokens")
    return [
        *(_hint_facts(metrics) if run.has_hints else _plain_facts(metrics)),
        ("rollouts", f"{len(metrics.series('rollout/reward')[1]):,}"),
        ("completions sampled", "" if completions is None else f"{completions:,.0f}"),
        ("tokens generated", "" if tokens is None else f"{tokens:,.0f}"),
    ]


def _hint_facts(metrics: Metrics) -> list[tuple[str, str]]:
    before, after = (percent(metrics.mean(f"rollout/all_wrong_{when}")) for when in ("before", "after"))
    return [
        ("reward of the model alone, first → last fifth", _first_last(metrics, "rollout/reward_before")),
        ("reward after hints, first → last fifth", _first_last(metrics, "rollout/reward")),
        ("groups all wrong, before → after hints", f"{before} → {after}" if before and after else ""),
        ("completions with hints that are correct", percent(metrics.mean("rollout/hint_success"))),
    ]


def _plain_facts(metrics: Metrics) -> list[tuple[str, str]]:
    return [
        ("reward, first → last fifth", _first_last(metrics, "rollout/reward")),
        ("groups all wrong", percent(metrics.mean("rollout/all_wrong_before"))),
    ]


def _supervised_facts(metrics: Metrics) -> list[tuple[str, str]]:
    loss = metrics.last("val/loss")
    return [
        ("validation loss", "" if loss is None else f"{loss:.3f}"),
        ("validation token accuracy", percent(metrics.last("val/token_accuracy"))),
        ("validation token accuracy without padding", percent(metrics.last("val/text_token_accuracy"))),
        ("padding among the tokens of both", percent(metrics.last("val/padding_share"))),
    ]


def _first_last(metrics: Metrics, name: str) -> str:
    first, last = metrics.mean(name, 0.0, _STRETCH), metrics.mean(name, 1 - _STRETCH, 1.0)
    return "" if first is None or last is None else f"{first:.3f} → {last:.3f}"


def _accuracy(accuracy: Accuracy) -> str:
    interval = accuracy.interval()
    if interval is None:
        return percent(accuracy.value)
    low, high = (100 * bound for bound in interval)
    return f"{percent(accuracy.value)}  (95% CI {low:.1f} to {high:.1f}, n = {accuracy.n:,})"


def _times(run: Run) -> str:
    parts = [
        f"{label(s.stage)} {duration(s.stage.seconds)}" for s in run.stages if s.stage.seconds is not None
    ]
    total = duration(run.seconds)
    if not total:
        return ", ".join(parts)
    return f"{total}  ({', '.join(parts)})" if len(parts) > 1 else total

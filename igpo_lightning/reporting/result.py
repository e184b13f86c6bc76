"""The result of a run in one sentence, and in tiles that say of what they are and how sure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from igpo_lightning.reporting.run import Run, label
from igpo_lightning.reporting.summary import Accuracy
from igpo_lightning.reporting.table import duration, interval, percent, stage_times


@dataclass(frozen=True)
class Tile:
    """A figure: what it is, its value, and beneath it of what, how sure and n."""

    what: str
    value: str
    of: str = ""


def sentence(run: Run) -> str:
    """The gain of the last stage with its interval; without validation, what the reward or the loss did."""
    main = run.stages[-1]
    before, after, name = main.stage.accuracy_before, main.stage.accuracy_after, label(main.stage)
    if before is not None and after is not None:
        text = f"{name} took validation accuracy from {percent(before.value)} to {percent(after.value)}"
        text += f" on {after.n:,} problems" if after.n else ""
        text += f": {_gain(before, after)}."
    elif main.has_rollouts:
        first, last = main.metrics.ends(main.own_reward) or (math.nan, math.nan)
        text = f"{name}: the model's own reward went from {first:.3f} to {last:.3f}, first to last fifth."
    elif ends := main.metrics.ends("train/loss"):
        text = f"{name}: the training loss went from {ends[0]:.3f} to {ends[1]:.3f}, first to last fifth."
    else:
        text = ""
    if run.test is not None:
        text += f" On {run.test.n:,} test problems" if run.test.n else " On test problems"
        text += f" it solves {percent(run.test.value)}."
    return text if run.finished else f"Unfinished. {text}"


def tiles(run: Run) -> Iterator[Tile]:
    """Accuracies, the reward at the end, and what it took."""
    for when, accuracy in run.accuracies():
        yield Tile(f"validation accuracy {when}", percent(accuracy.value), _of(accuracy))
    if run.test is not None:
        yield Tile("test accuracy at the end", percent(run.test.value), _of(run.test))
    if (main := run.rollouts) is not None:
        own = main.metrics.values(main.own_reward)
        last = own.iloc[int(0.8 * len(own)) :]
        what = "reward of the model alone" if main.change else "reward"
        spread = last.std() if len(last) > 1 else 0.0
        of = f"± {spread:.3f} from rollout to rollout, n = the last {len(last)} of {len(own)}"
        yield Tile(what, f"{last.mean():.3f}", of)
        if drawn := main.completions:
            tried = ", second tries too" if main.has_second_tries else ""
            yield Tile("completions sampled", f"{drawn:,.0f}", f"in {len(own):,} rollouts{tried}")
    if run.seconds:
        yield Tile("wall time", duration(run.seconds), ", ".join(stage_times(run)))


def _gain(before: Accuracy, after: Accuracy) -> str:
    text = f"{100 * (after.value - before.value):+.1f} points"
    gained = after.gain(before)
    if gained is None:
        return text
    low, high = (100 * bound for bound in gained)
    verdict = ", within the noise" if low <= 0 <= high else ""
    return f"{text}{verdict} (95% interval {low:+.1f} to {high:+.1f})"


def _of(accuracy: Accuracy) -> str:
    known = interval(accuracy)
    return f"{known} problems" if known else "n unknown"

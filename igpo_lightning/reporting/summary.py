"""``summary.json``: what a run did, stage by stage, in a few numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.files import write_atomic

FILE = "summary.json"
BEFORE, AFTER, TEST = "val/accuracy_before", "val/accuracy_after", "test/accuracy"  # a stage's, to loggers


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``n``."""
    z = 1.96
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Accuracy:
    """A share of correct answers in [0, 1], over ``n`` problems where that is known."""

    value: float
    n: int | None = None

    def interval(self) -> tuple[float, float] | None:
        """Wilson's 95% interval for the share, or None if ``n`` is unknown.

        It covers what a new draw of ``n`` problems would change, not a new training seed.
        """
        if not self.n:
            return None
        return wilson(self.value, self.n)

    def gain(self, since: Accuracy) -> tuple[float, float] | None:
        """95% interval of the gain over ``since``, or None if an ``n`` is unknown.

        Newcombe's, of two Wilson intervals taken as independent (Statistics in Medicine 17, 1998, method 10);
        on the same problems the true one is narrower.
        """
        mine, theirs = self.interval(), since.interval()
        if mine is None or theirs is None:
            return None
        gain = self.value - since.value
        below = math.hypot(self.value - mine[0], theirs[1] - since.value)
        above = math.hypot(mine[1] - self.value, since.value - theirs[0])
        return gain - below, gain + above


@dataclass(frozen=True)
class Stage:
    """One fit of a run.

    Attributes:
        name: What a reader calls it: "sft", "igpo".
        folder: Its folder relative to the run folder, "." if it is the run folder itself.
        seconds: Wall time.
        accuracy_before: On validation problems, before its first update.
        accuracy_after: Likewise, after its last update.
        test: On test problems, after its last update; of a run's last stage only.
        updates: Optimizer steps.
        completions: Sampled completions, hints included.
    """

    name: str
    folder: str = "."
    seconds: float | None = None
    accuracy_before: Accuracy | None = None
    accuracy_after: Accuracy | None = None
    test: Accuracy | None = None
    updates: int | None = None
    completions: int | None = None


@dataclass(frozen=True)
class Summary:
    """The stages of a run in order, its wall time in seconds, and a title for reports."""

    stages: tuple[Stage, ...]
    seconds: float | None = None
    title: str | None = None

    def save(self, folder: str | Path) -> Path:
        """Write ``folder/summary.json``."""
        path = Path(folder) / FILE
        write_atomic(path, json.dumps(asdict(self), indent=2) + "\n")
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Summary:
        """Read ``folder/summary.json``; ConfigError if it is not one."""
        path = Path(folder) / FILE
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            return cls(tuple(map(_stage, raw["stages"])), raw.get("seconds"), raw.get("title"))
        except KeyError as error:
            raise ConfigError(f"{path}: the key {error} is missing") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"{path}: not a run summary ({error})") from error


def _stage(raw: Mapping[str, Any]) -> Stage:
    accuracies = {
        key: Accuracy(float(value["value"]), value.get("n"))
        for key in ("accuracy_before", "accuracy_after", "test")
        if (value := raw.get(key)) is not None
    }
    return Stage(**{**raw, **accuracies})

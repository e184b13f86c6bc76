"""Validation accuracy along a run, by the seconds that were spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Result = dict[str, Any]


def seconds(runs: Mapping[int, Result]) -> float | None:
    """Mean over an arm's runs of their seconds of rollouts and updates; None if some don't know them."""
    whole = [run["curve"]["seconds"][-1] for run in runs.values() if run["curve"].get("seconds")]
    return float(np.mean(whole)) if whole and len(whole) == len(runs) else None


def accuracy_after(run: Result, spent: float) -> float:
    """Validation accuracy after so many seconds, between two measurements on the line that joins them.

    A run that was at its end by then has what it ended with.
    """
    curve = run["curve"]
    return float(
        np.interp(spent, [0.0, *curve["seconds"]], [run["validation_before"]["value"], *curve["accuracy"]])
    )

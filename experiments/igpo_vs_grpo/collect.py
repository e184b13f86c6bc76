"""Run folders to ``results.json``, ``results.md`` and ``results.png``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igpo_lightning.reporting import read_run
from igpo_lightning.reporting.run import Metrics

LABELS = {
    "grpo": "GRPO",
    "grpo_resample": "GRPO + resampling",
    "igpo": "IGPO",
    "igpo_low": "IGPO at 5e-4",
}
COLOURS = {"grpo": "#8a8f98", "grpo_resample": "#d98c2b", "igpo": "#2b6cb0", "igpo_low": "#7fb3e6"}


@dataclass(frozen=True)
class Figure:
    """Mean and standard error over runs."""

    mean: float
    se: float
    n: int

    @classmethod
    def of(cls, values: list[float]) -> Figure:
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        return cls(float(np.mean(values)), spread / math.sqrt(len(values)), len(values))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.se:.3f}"


def metrics_of(folder: Path) -> Metrics:
    return read_run(folder).stages[-1].metrics


def mean_validation(folder: Path) -> float:
    """Mean validation accuracy over the second half of a run: what learning rates are chosen by."""
    return metrics_of(folder).mean("val/accuracy", 0.5, 1.0)


def curve(metrics: Metrics, start: float) -> dict[str, list[float]]:
    """Validation accuracy against updates and against generated tokens (in millions), with its start."""
    updates, accuracy = metrics.series("val/accuracy")
    steps, tokens = metrics.series("rollout/generated_tokens")
    at = np.interp(updates, steps, tokens) / 1e6
    return {"updates": [0.0, *updates], "tokens": [0.0, *at.tolist()], "accuracy": [start, *accuracy]}


def one_run(folder: Path, start: float, tested: float) -> dict:
    """The numbers of one run; ``start`` and ``tested`` are accuracies of the model it began with, on
    validation and on test problems."""
    stage, metrics = read_run(folder).stages[-1].stage, metrics_of(folder)
    whole = {name: metrics.mean(f"rollout/{name}") for name in ("hint_success", "reward_before")}
    late = {
        f"late_{name}": metrics.mean(f"rollout/{name}", 0.8, 1.0)
        for name in ("reward_before", "all_wrong_before", "all_wrong_after", "hint_success")
    }
    first = {
        f"first_{name}": metrics.mean(f"rollout/{name}", 0.0, 0.1)
        for name in ("all_wrong_before", "all_wrong_after", "hint_success")
    }
    return {
        "folder": folder.name,
        "test_before": tested,
        "test_after": stage.test.value,
        "seconds": stage.seconds,
        "completions": metrics.last("rollout/completions"),
        "tokens": metrics.last("rollout/generated_tokens"),
        **{k: v for k, v in {**whole, **late, **first}.items() if v is not None},
        "curve": curve(metrics, start),
    }


def equal_tokens(arms: dict[str, list[dict]]) -> dict[str, list[float]]:
    """Validation accuracy of every run at the token count of the cheapest arm's run beside it."""
    result: dict[str, list[float]] = {arm: [] for arm in arms}
    for beside in zip(*arms.values(), strict=True):
        limit = min(run["curve"]["tokens"][-1] for run in beside)
        for arm, run in zip(arms, beside, strict=True):
            result[arm].append(float(np.interp(limit, run["curve"]["tokens"], run["curve"]["accuracy"])))
    return result


def table(arms: dict[str, list[dict]], rates: dict[str, float]) -> str:
    """The main table as Markdown."""
    same = equal_tokens(arms)
    rows = [
        ("learning rate", lambda arm, runs: f"{rates[arm]:g}"),
        ("held-out accuracy before", lambda arm, runs: _figure(runs, "test_before")),
        ("**held-out accuracy after** (equal updates)", lambda arm, runs: _figure(runs, "test_after")),
        ("validation accuracy at equal generated tokens", lambda arm, runs: str(Figure.of(same[arm]))),
        ("reward before injection, last fifth", lambda arm, runs: _figure(runs, "late_reward_before")),
        ("all-wrong groups, first tenth: before", lambda arm, runs: _figure(runs, "first_all_wrong_before")),
        ("all-wrong groups, first tenth: after", lambda arm, runs: _figure(runs, "first_all_wrong_after")),
        ("all-wrong groups, last fifth: before", lambda arm, runs: _figure(runs, "late_all_wrong_before")),
        ("all-wrong groups, last fifth: after", lambda arm, runs: _figure(runs, "late_all_wrong_after")),
        ("second-try success, first tenth", lambda arm, runs: _figure(runs, "first_hint_success")),
        ("completions, thousands", lambda arm, runs: f"{_mean(runs, 'completions') / 1e3:.1f}"),
        ("generated tokens, millions", lambda arm, runs: f"{_mean(runs, 'tokens') / 1e6:.2f}"),
        ("seconds of the stage, one thread", lambda arm, runs: f"{_mean(runs, 'seconds'):.0f}"),
    ]
    lines = ["| | " + " | ".join(LABELS[arm] for arm in arms) + " |", "|---|" + "---|" * len(arms)]
    for name, cell in rows:
        lines.append(f"| {name} | " + " | ".join(cell(arm, runs) for arm, runs in arms.items()) + " |")
    return "\n".join(lines)


def by_start(arms: dict[str, list[dict]], starts: int) -> str:
    """Test accuracy for each SFT seed, and IGPO's paired lead, as Markdown."""
    size = len(next(iter(arms.values()))) // starts
    lines = ["Held-out accuracy after RL, by start:", ""]
    lines.append("| start | before | " + " | ".join(LABELS[arm] for arm in arms) + " |")
    lines.append("|---|---|" + "---|" * len(arms))
    for start in range(starts):
        rows = {arm: runs[start * size : (start + 1) * size] for arm, runs in arms.items()}
        before = next(iter(rows.values()))[0]["test_before"]
        cells = [_figure(runs, "test_after") for runs in rows.values()]
        lines.append(f"| SFT seed {start} | {before:.3f} | " + " | ".join(cells) + " |")
    cells = []
    for runs in arms.values():
        pairs = zip(arms["igpo"], runs, strict=True)
        lead = Figure.of([igpo["test_after"] - other["test_after"] for igpo, other in pairs])
        cells.append("" if runs is arms["igpo"] else str(lead))
    lines.append("| IGPO's lead, paired by seed | | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(runs: list[dict], key: str) -> float:
    return float(np.mean([run[key] for run in runs]))


def _figure(runs: list[dict], key: str) -> str:
    values = [run[key] for run in runs if key in run]
    return str(Figure.of(values)) if values else "–"


def picture(arms: dict[str, list[dict]], path: Path) -> None:
    """Validation accuracy against updates and tokens, and the share of all-wrong groups."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
    panels = {"updates": "updates", "tokens": "generated tokens (millions)"}
    for axis, (key, label) in zip(axes, panels.items(), strict=True):
        for arm, runs in arms.items():
            for run in runs:
                axis.plot(run["curve"][key], run["curve"]["accuracy"], color=COLOURS[arm], alpha=0.25, lw=1)
            x = np.mean([run["curve"][key] for run in runs], axis=0)
            y = np.mean([run["curve"]["accuracy"] for run in runs], axis=0)
            axis.plot(x, y, color=COLOURS[arm], lw=2.5, label=LABELS[arm])
        axis.set_xlabel(label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("held-out accuracy")
    axes[0].legend(frameon=False)
    figure.suptitle("Embedded word problems: thin lines are runs, thick ones their mean", fontsize=11)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def collect(out: Path, folders: dict[str, list[Path]], *, sweep: dict, rates: dict, sft: list[Path]) -> None:
    """Write the three result files into ``out``."""
    starts = [metrics_of(folder).last("val/accuracy") for folder in sft]
    tested = [read_run(folder).test.value for folder in sft]
    arms = {}
    for arm, runs in folders.items():
        begun = [i * len(sft) // len(runs) for i in range(len(runs))]  # each run's place in ``sft``
        arms[arm] = [one_run(f, starts[s], tested[s]) for f, s in zip(runs, begun, strict=True)]
    tried = {
        arm: {f"{lr:g}": mean_validation(folder) for lr, folder in jobs.items()}
        for arm, jobs in sweep.items()
    }
    results = {"rates": rates, "learning_rate_sweep": tried, "arms": arms, "equal_tokens": equal_tokens(arms)}
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = "\n".join([table(arms, rates), "", by_start(arms, len(sft)), "", sweep_table(tried), ""])
    (out / "results.md").write_text(text)
    picture(arms, out / "results.png")
    print(text)


def sweep_table(tried: dict[str, dict[str, float]]) -> str:
    """The learning-rate sweep as Markdown."""
    rates = list(next(iter(tried.values())))
    lines = ["Learning-rate sweep: mean validation accuracy over the second half of one run.", ""]
    lines += ["| | " + " | ".join(rates) + " |", "|---|" + "---|" * len(rates)]
    for arm, row in tried.items():
        lines.append(f"| {LABELS[arm]} | " + " | ".join(f"{value:.3f}" for value in row.values()) + " |")
    return "\n".join(lines)

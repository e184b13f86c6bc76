"""Five seeds of `make train`: what the README says of the toy.

python experiments/quickstart/run.py            # four minutes of one core for each seed that is not kept
python experiments/quickstart/run.py --collect  # only the figures, from what is kept
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean

from igpo_lightning.files import write_atomic
from igpo_lightning.reporting import read_run

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
SEEDS = range(5)


def measured(folder: Path) -> dict:
    """A finished run's accuracies, its share of all-wrong groups, and where it comes from."""
    run = read_run(folder)
    stages, rollouts = {stage.stage.name: stage for stage in run.stages}, run.rollouts
    assert rollouts is not None and run.test is not None
    known = ("command", "git", "packages", "cpu")
    return {
        "validation_after_sft": stages["sft"].stage.accuracy_after.value,
        "validation_after": rollouts.stage.accuracy_after.value,
        "test": run.test.value,
        "test_problems": run.test.n,
        "all_wrong_before_hints": rollouts.metrics.mean("rollout/all_wrong_before"),
        "all_wrong_after_hints": rollouts.metrics.mean("rollout/all_wrong_after"),
        "seconds": run.seconds,
        "provenance": {name: run.provenance[name] for name in known},
    }


def train(seed: int, folder: Path) -> dict:
    """Train with one seed, or go on with it."""
    command = [sys.executable, "-m", "igpo_lightning.train", "experiment=quickstart", f"seed={seed}"]
    subprocess.run([*command, f"output_dir={folder}", "resume=auto"], check=True)
    return measured(folder)


def said(results: list[dict]) -> str:
    """Means over the seeds, with the smallest and the largest value."""
    names = [name for name, value in results[0].items() if isinstance(value, float)]
    lines = ["| | mean | least | most |", "|---|---|---|---|"]
    for name in names:
        values = [result[name] for result in results]
        figures = " | ".join(f"{figure:.3g}" for figure in (mean(values), min(values), max(values)))
        lines.append(f"| {name.replace('_', ' ')} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/quickstart"), help="folder of the runs")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for seed in SEEDS:
        path = RESULTS / f"seed-{seed}.json"
        if not path.exists() and not options.collect:
            result = train(seed, options.runs.absolute() / str(seed))
            write_atomic(path, json.dumps(result, indent=1) + "\n")
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("seed-*.json"))]
    print(said(kept) if kept else "nothing is kept")


if __name__ == "__main__":
    main()

"""Test a claim: python experiments/claims/run.py CLAIM [--task NAME] [--workers 2] [--collect]

CLAIM is a folder under experiments/ that holds a plan.yaml. Every arm is trained at every learning rate
from the tuning starts, then at its best rate from the other starts; a start is trained when it is needed.
Runs lie under runs/claims and go on where they were stopped; what they measured is kept in CLAIM/results, a
small file each, and a job whose file is there is not run again. --collect runs nothing: tables and pictures
from these files.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from collect import Arms, Tuning, collect
from jobs import Job, run_missing
from plan import EXPERIMENTS, Arm, Plan, claims, read_plan
from rates import best, grown

RUNS = EXPERIMENTS.parent / "runs" / "claims"
_MOST_RATES = 8


class Study:
    """The jobs of a plan.

    Args:
        folder: Of the claim.
        plan: What is to be run.
    """

    def __init__(self, folder: Path, plan: Plan):
        self.folder, self.plan = folder, plan
        self.results = folder / "results" / plan.task

    def start(self, kind: str, seed: int) -> Job:
        """Training of a start."""
        overrides = (*self.plan.common, *self.plan.starts[kind], f"seed={seed}", "report=false")
        name = f"{kind}-{seed}"
        folder = RUNS / "starts" / f"{name}-{_digest(overrides)}"
        return Job(name, overrides, folder, self.results / f"start-{name}.json")

    def job(self, arm: Arm, seed: int, rate: float) -> Job:
        """Training of an arm from a start; it has the start's seed."""
        name, start = f"{arm.name}-{rate:.3g}-{seed}", self.start(arm.start, seed)
        common = (*self.plan.common, *self.plan.training)
        overrides = (*common, *arm.overrides, f"seed={seed}", f"algo.optimizer.lr={rate:.6g}")
        folder = RUNS / "arms" / f"{rate:.3g}-{seed}-{_digest((*overrides, start.folder.name))}"
        whole = (*overrides, "report=false", f"model.path={start.model}")
        return Job(name, whole, folder, self.results / f"{name}.json", start)

    def tune(self, workers: int, run: bool) -> Tuning:
        """Mean validation accuracy of every tuned arm at its rates; grids grow until the best is inside."""
        grids: dict[str, list[float]] = {arm.name: list(self.plan.rates) for arm in self.plan.tuned}
        while True:
            if run:
                run_missing(
                    [
                        self.job(self.plan.arms[name], seed, rate)
                        for seed in self.plan.tuning_seeds
                        for name, rates in grids.items()
                        for rate in rates
                    ],
                    workers,
                )
            found = {
                name: {
                    rate: mean for rate in sorted(rates) if (mean := self._validation(name, rate)) is not None
                }
                for name, rates in grids.items()
            }
            more = {
                name: rate
                for name, means in found.items()
                if means and len(grids[name]) < _MOST_RATES and (rate := grown(list(means), best(means)))
                if run or self._validation(name, rate) is not None
            }
            if not more:
                return found
            for name, rate in more.items():
                grids[name].append(rate)

    def _validation(self, name: str, rate: float) -> float | None:
        jobs = [self.job(self.plan.arms[name], seed, rate) for seed in self.plan.tuning_seeds]
        if not all(job.done for job in jobs):
            return None
        return float(np.mean([job.read()["validation_after"]["value"] for job in jobs]))

    def compare(self, tuning: Tuning, workers: int, run: bool) -> Arms:
        """Results of all arms at their best rates: by arm, by seed."""
        jobs = {
            arm.name: {
                seed: self.job(arm, seed, best(tuning[arm.rates_of or arm.name])) for seed in self.plan.seeds
            }
            for arm in self.plan.arms.values()
            if tuning.get(arm.rates_of or arm.name)
        }
        if run:  # arms in turn, so that an interrupted study has comparable ones
            run_missing([of[seed] for seed in self.plan.seeds for of in jobs.values()], workers)
        return {
            name: {
                seed: {**job.read(), "test_before": job.test_before()} for seed, job in of.items() if job.done
            }
            for name, of in jobs.items()
        }


def _digest(overrides: Sequence[str]) -> str:
    """Name of a run by what it does: claims that ask for the same one share it."""
    return hashlib.sha256(" ".join(overrides).encode()).hexdigest()[:8]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("claim", help="a folder under experiments/ with a plan.yaml")
    parser.add_argument("--task", help="one of the plan's tasks; the first by default")
    parser.add_argument("--workers", type=int, default=2, help="jobs at a time, one thread each")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args(arguments)
    folder = EXPERIMENTS / given.claim
    if given.claim not in claims():
        raise SystemExit(f"{given.claim}: no such claim; there are {', '.join(claims())}")
    study = Study(folder, read_plan(folder, given.task))
    run = not given.collect
    tuning = study.tune(given.workers, run)
    collect(folder, study.plan, tuning, study.compare(tuning, given.workers, run))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)

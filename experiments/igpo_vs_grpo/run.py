"""IGPO against GRPO on the embedded problems: plan, run, collect.

    python experiments/igpo_vs_grpo/run.py             # all jobs, then results.json, results.md, results.png
    python experiments/igpo_vs_grpo/run.py --collect   # only the tables and the picture, from what has run

One job is one training command in its own folder under ``runs/igpo_vs_grpo``; a job whose folder
holds a summary is done, so the same command goes on where an interrupted one stopped.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from collect import collect, mean_validation
from omegaconf import OmegaConf

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RUNS = ROOT / "runs" / "igpo_vs_grpo"


@dataclass(frozen=True)
class Job:
    """One training command and the folder it writes to."""

    name: str
    overrides: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return RUNS / self.name

    def run(self, threads: int) -> None:
        if (self.folder / "summary.json").is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "igpo_lightning.train",
            *self.overrides,
            f"output_dir={self.folder}",
            "resume=auto",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        print("start", self.name, flush=True)
        with open(self.folder / "log.txt", "w") as log:
            log.write(" ".join(command) + "\n")
            log.flush()
            code = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log).returncode
        if code:
            raise SystemExit(f"{self.name} failed with code {code}; see {self.folder / 'log.txt'}")
        print("done ", self.name, flush=True)


def rl_job(plan, arm: str, lr: float, sft_seed: int, rl_seed: int) -> Job:
    model = RUNS / f"sft{sft_seed}" / "model"
    shorter = plan.sweep if rl_seed == plan.sweep_seed else ()
    overrides = [
        *(*plan.common, *plan.arms[arm], *plan.rl, *shorter),
        *(f"algo.optimizer.lr={lr}", f"seed={rl_seed}", f"model.path={model}"),
    ]
    return Job(f"{arm}-lr{lr:g}-sft{sft_seed}-seed{rl_seed}", tuple(overrides))


def run_all(jobs: list[Job], workers: int) -> None:
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(job.run, threads) for job in jobs]:
            done.result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="jobs at a time")
    args = parser.parse_args()
    plan = OmegaConf.load(HERE / "plan.yaml")
    sweep = {
        arm: [rl_job(plan, arm, lr, plan.sft_seeds[0], plan.sweep_seed) for lr in plan.learning_rates]
        for arm in plan.arms
    }
    if not args.collect:
        sft = [Job(f"sft{s}", (*plan.common, "algo=sft", f"seed={s}")) for s in plan.sft_seeds]
        run_all(sft, args.workers)
        run_all([job for jobs in sweep.values() for job in jobs], args.workers)
    best = {
        arm: max(
            zip(plan.learning_rates, jobs, strict=True), key=lambda pair: mean_validation(pair[1].folder)
        )[0]
        for arm, jobs in sweep.items()
    }
    print("learning rates:", best)
    columns = {arm: (arm, lr) for arm, lr in best.items()}
    columns |= {name: (extra.arm, extra.lr) for name, extra in plan.extra.items()}
    final = {
        name: [rl_job(plan, arm, lr, s, r) for s in plan.sft_seeds for r in plan.rl_seeds]
        for name, (arm, lr) in columns.items()
    }
    if not args.collect:
        # Interleave the arms, so that an interrupted run leaves comparable ones.
        run_all([job for jobs in zip(*final.values(), strict=True) for job in jobs], args.workers)
    collect(
        HERE,
        {name: [job.folder for job in jobs] for name, jobs in final.items()},
        sweep={
            arm: dict(zip(plan.learning_rates, [j.folder for j in jobs], strict=True))
            for arm, jobs in sweep.items()
        },
        rates={name: lr for name, (_, lr) in columns.items()},
        sft=[RUNS / f"sft{s}" for s in plan.sft_seeds],
    )


if __name__ == "__main__":
    main()

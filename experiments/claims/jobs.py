"""Jobs: one training command each, whose result is a small file that is kept."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from igpo_lightning.config import composed
from igpo_lightning.files import write_atomic
from igpo_lightning.reporting import read_run

# Imported once, by the process that all jobs are forked from.
_PRELOAD = [
    "igpo_lightning.training",
    "igpo_lightning.data",
    "igpo_lightning.rewards",
    "igpo_lightning.rollout",
]
OF_HINTS = ("rollout/hint_tokens", "rollout/hint_gradient_share", "train/clip_ratio/hints")
_SETTINGS = ("algo", "data", "model", "prompt", "reward", "sampler")  # groups of the config
_OF_ONE_RUN = ("seed", "path", "lr")  # keys in them
_OF_A_JOB = ("seed=", "model.path=", "algo.optimizer.lr=")  # the same, as overrides
_KEPT = ("started", "git", "python", "platform", "packages")


@dataclass(frozen=True)
class Job:
    """One training command.

    Attributes:
        folder: Of the run; it may be deleted once the result is there.
        result: File that gets what the run measured.
        start: Training of the model that it begins with.
    """

    name: str
    overrides: tuple[str, ...]
    folder: Path
    result: Path
    start: Job | None = None

    @property
    def done(self) -> bool:
        return self.result.is_file()

    @property
    def model(self) -> Path:
        return self.folder / "model"

    def read(self) -> dict[str, Any]:
        return json.loads(self.result.read_text())

    def test_before(self) -> float | None:
        """Test accuracy of its start; None if that isn't kept, or was measured in another way.

        Where the start's last validation is this run's first, problems and decoding were the same.
        """
        if self.start is None or not self.start.done:
            return None
        start, run = self.start.read(), self.read()
        return start["test"]["value"] if start["validation_after"] == run["validation_before"] else None


def run_missing(jobs: Sequence[Job], workers: int) -> None:
    """Run the jobs that have no result yet, after those of their starts whose models are not there.

    Raises:
        SystemExit: A kept result is of other settings than ``conf/`` gives now; or a job failed.
    """
    _check_current([job for job in jobs if job.done])
    missing = [job for job in jobs if not job.done]
    starts = {job.start.folder: job.start for job in missing if job.start and not job.start.model.is_dir()}
    run_all(list(starts.values()), workers)
    run_all(missing, workers)


def _check_current(jobs: Sequence[Job]) -> None:
    """Refuse to compare new runs with kept ones of other settings; the files of an arm are looked at once."""
    known: dict[tuple[str, ...], str] = {}
    for job in jobs:
        kept = job.read().get("settings")  # None: older than this record
        arm = tuple(text for text in job.overrides if not text.startswith(_OF_A_JOB))
        if kept is not None and arm not in known:
            known[arm] = settings(composed(job.overrides))
        if kept is not None and kept != known[arm]:
            raise SystemExit(
                f"{job.result}: what was run then is not what conf/ gives now. Delete the results of its "
                "arm, which are then run again, or take --collect, which uses them as they are"
            )


def run_all(jobs: Sequence[Job], workers: int) -> None:
    """Run jobs, ``workers`` at a time; one that was interrupted goes on.

    Raises:
        SystemExit: A job failed; the others have run.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)

    def run(job: Job) -> str | None:
        print("start", job.name, flush=True)
        job.folder.mkdir(parents=True, exist_ok=True)
        command = [*job.overrides, f"output_dir={job.folder}", "resume=auto"]
        process = context.Process(target=_train, args=(command, str(job.folder / "log.txt")))
        process.start()
        process.join()
        if process.exitcode:
            return f"{job.name} failed with exit code {process.exitcode}: {job.folder / 'log.txt'}"
        job.result.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(job.result, json.dumps(measured(job), indent=1) + "\n")
        print("done ", job.name, flush=True)
        return None

    with ThreadPoolExecutor(workers) as pool:
        failures = [failure for failure in pool.map(run, jobs) if failure]
    if failures:
        raise SystemExit("\n".join(failures))


def _train(command: list[str], log: str) -> None:
    """In a process of its own: the training program, its output in a file."""
    with open(log, "a") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.argv = ["igpo-train", *command]
    from igpo_lightning.train import main

    main()


def measured(job: Job) -> dict[str, Any]:
    """Read from a run's folder what is kept for good, small."""
    run = read_run(job.folder)
    stage = run.stages[-1]
    metrics, provenance = stage.metrics, json.loads((job.folder / "provenance.json").read_text())
    rates = ("all_wrong_before", "all_wrong_after", "hint_success", "reward_before", "reward")
    curve = metrics.series("val/accuracy")
    tokens = metrics.series("rollout/generated_tokens")
    return {
        "name": job.name,
        "overrides": list(job.overrides),
        "validation_before": _value(stage.stage.accuracy_before),
        "validation_after": _value(stage.stage.accuracy_after),
        "test": _value(stage.stage.test),
        "seconds": round(stage.stage.seconds, 1),
        "completions": metrics.last("rollout/completions"),
        "curve": {
            "updates": curve[0],
            "accuracy": _short(curve[1]),
            "seconds": _short(metrics.seconds().reindex(curve[0], method="ffill").fillna(0.0)),
        },
        "generated_tokens": {"updates": tokens[0][-1:], "tokens": tokens[1][-1:]},
        "first_tenth": {name: _round(metrics.mean(f"rollout/{name}", 0.0, 0.1)) for name in rates},
        "last_fifth": {name: _round(metrics.mean(f"rollout/{name}", 0.8, 1.0)) for name in rates},
        "hints": {name: _round(metrics.mean(name)) for name in OF_HINTS},
        "settings": settings(OmegaConf.load(job.folder / "config.yaml")),
        "provenance": {name: provenance[name] for name in _KEPT},
    }


def settings(config: Any) -> str:
    """Digest of a composed config, less what differs between the runs of one arm."""
    groups = {name: config.get(name) for name in _SETTINGS}
    return hashlib.sha256(json.dumps(_of_all_runs(groups), sort_keys=True).encode()).hexdigest()[:12]


def _of_all_runs(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(key): _of_all_runs(value) for key, value in node.items() if key not in _OF_ONE_RUN}
    return str(node)


def _value(accuracy: Any) -> dict[str, Any] | None:
    return None if accuracy is None else {"value": accuracy.value, "n": accuracy.n}


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _short(values: Iterable[float]) -> list[float]:
    return [round(float(value), 5) for value in values]

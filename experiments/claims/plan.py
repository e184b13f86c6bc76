"""Plan of a claim: which training commands test it, in what order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

EXPERIMENTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Arm:
    """One way to train on from a start.

    Attributes:
        label: In tables.
        short: In pictures.
        overrides: Of the training command.
        start: Kind of start: a model of supervised fine-tuning by that kind's settings.
        rates_of: The arm whose learning rate it takes; None: it has one chosen for itself.
    """

    name: str
    label: str
    overrides: tuple[str, ...]
    short: str = ""
    start: str = "sft"
    rates_of: str | None = None


@dataclass(frozen=True)
class Plan:
    """A claim on one task.

    Attributes:
        claim: One sentence.
        task: Name of the task.
        common: Overrides of every run.
        starts: Kind of start to the overrides of its run.
        arms: By name, the reference first: the leads are its.
        seeds: Starts that the intervals are about.
        tuning_seeds: Others, for learning rates.
        rates: First grid, equally spaced by factors; it grows where the best stands at its edge.
        training: Overrides of every arm, beside ``common`` and its own; starts don't have them.
    """

    claim: str
    task: str
    common: tuple[str, ...]
    starts: dict[str, tuple[str, ...]]
    arms: dict[str, Arm]
    seeds: tuple[int, ...]
    tuning_seeds: tuple[int, ...]
    rates: tuple[float, ...]
    training: tuple[str, ...] = ()

    @property
    def reference(self) -> Arm:
        return next(iter(self.arms.values()))

    @property
    def tuned(self) -> list[Arm]:
        return [arm for arm in self.arms.values() if arm.rates_of is None]


def claims() -> list[str]:
    """Folders under experiments/ that hold a plan of this kind: one with tasks."""
    plans = sorted(EXPERIMENTS.glob("*/plan.yaml"))
    return [path.parent.name for path in plans if "tasks" in OmegaConf.load(path)]


def read_plan(folder: Path, task: str | None = None) -> Plan:
    """Read ``plan.yaml`` of a claim's folder.

    Args:
        folder: Of the claim.
        task: One of its tasks; None: the first.

    Raises:
        SystemExit: No such task; the message names those there are.
    """
    # `${…}` in an override is for the training command, not for the plan.
    loaded: Any = OmegaConf.to_container(OmegaConf.load(folder / "plan.yaml"), resolve=False)
    tasks = loaded["tasks"]
    task = task or next(iter(tasks))
    if task not in tasks:
        raise SystemExit(f"{folder.name}: no task {task!r}; it has {', '.join(tasks)}")
    merged = {**loaded, **tasks[task]}
    arms = {
        name: Arm(
            name,
            value.get("label", name),
            tuple(value["overrides"]),
            value.get("short", value.get("label", name)),
            value.get("start", "sft"),
            value.get("rates_of"),
        )
        for name, value in merged["arms"].items()
    }
    return Plan(
        claim=merged["claim"],
        task=task,
        common=tuple(merged["common"]),
        training=tuple(merged.get("training", ())),
        starts={kind: tuple(overrides) for kind, overrides in merged["starts"].items()},
        arms=arms,
        seeds=tuple(merged["seeds"]),
        tuning_seeds=tuple(merged["tuning_seeds"]),
        rates=tuple(float(rate) for rate in merged["rates"]),
    )

"""Plan of an evaluation: its completions, and the batches in which they are decoded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..seeding import derive
from ..types import Prompt
from .benchmarks import Benchmark
from .store import Key


@dataclass(frozen=True)
class Task:
    """One completion to make."""

    prompt: Prompt
    sample: int
    seed: int

    @property
    def key(self) -> Key:
        return self.prompt.problem.id, self.sample


@dataclass(frozen=True)
class Batch:
    """Completions of one benchmark whose prompts have one length, so that nothing is padded."""

    benchmark: str
    tasks: tuple[Task, ...]


def tasks_of(benchmark: Benchmark, prompts: Sequence[Prompt], seed: int) -> list[Task]:
    """All completions of a benchmark; each seed is a function of (seed, problem, sample) alone."""
    return [
        Task(prompt, sample, derive(seed, "evaluate", prompt.problem.id, sample))
        for prompt in prompts
        for sample in range(benchmark.samples)
    ]


def batches_of(tasks: Mapping[str, Sequence[Task]], size: int) -> list[Batch]:
    """Batches of at most ``size`` completions, those with the longest prompts first.

    What they hold depends on the tasks and on ``size`` only, not on what is done already nor on the
    number of processes.
    """
    alike: dict[tuple[int, str], list[Task]] = defaultdict(list)
    for name, members in tasks.items():
        for task in members:
            alike[len(task.prompt.ids), name].append(task)
    return [
        Batch(name, tuple(members[i : i + size]))
        for (_, name), members in sorted(alike.items(), key=lambda item: -item[0][0])
        for i in range(0, len(members), size)
    ]


def share_of(batches: Sequence[Batch], done: Collection[Key], rank: int, world: int) -> list[Batch]:
    """Batches, of those not done, for process ``rank`` of ``world``.

    A batch that was interrupted is decoded whole again, so that its numbers come out as they would have.
    Every process gets as many batches, an empty one at the end if need be: with sharded weights all
    processes have to make the same model calls.
    """
    left = [batch for batch in batches if any(task.key not in done for task in batch.tasks)]
    mine = left[rank::world]
    missing = -(-len(left) // world) - len(mine)
    return mine + [Batch(left[0].benchmark, ())] * missing if left else []

"""Schedules of what each step sees: pure functions of the step's index, so that resuming is seeking."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..algos import Algorithm, Supervised
from ..checks import ConfigError, positive, positive_int, share_of
from ..seeding import python_rng


@dataclass(frozen=True)
class RolloutStep:
    """One micro-batch of policy optimisation.

    Attributes:
        rollout: Its index; its prompts are ``indices`` (this process's share of them).
        iteration: Which of the μ passes over the rollout.
        start, stop: The slice of the rollout's prompts that this micro-batch trains on.
        part: [start, stop) of the draws that it trains on; None: all of them.
        first: Whether it is the first of its rollout.
        indices: Rows of the training set.
    """

    rollout: int
    iteration: int
    start: int
    stop: int
    part: tuple[int, int] | None
    first: bool
    indices: tuple[int, ...]


@dataclass(frozen=True)
class SFTStep:
    """One micro-batch of supervised fine-tuning.

    Attributes:
        update: Index of the update that it is a part of.
        start: Place of its first row among the update's rows (of all processes together).
        indices: Its rows of the training set.
    """

    update: int
    start: int
    indices: tuple[int, ...]


class Shuffled:
    """Endless draws of ``count`` different rows out of ``size``: a new order each epoch.

    The rows that do not fill a last draw wait for the next epoch, so no draw is ragged or repeats a row.
    """

    def __init__(self, size: int, count: int, seed: int, what: str):
        positive_int(what, count)
        if size < count:
            raise ConfigError(f"{what}: {count} asked for at once, but the training set has only {size} rows")
        self.size, self.count, self.seed = size, count, seed
        self.per_epoch = size // count
        self._order = lru_cache(maxsize=2)(self._make_order)

    def _make_order(self, epoch: int) -> list[int]:
        order = list(range(self.size))
        python_rng(self.seed, "order", epoch).shuffle(order)
        return order

    def __getitem__(self, draw: int) -> list[int]:
        epoch, place = divmod(draw, self.per_epoch)
        return self._order(epoch)[place * self.count : (place + 1) * self.count]


def run_length(keys: tuple[str, str], count: int | None, epochs: float | None, per_epoch: int) -> int:
    """Rollouts or updates of a run: ``count`` of them or ``epochs`` passes, whichever is fewer.

    Args:
        keys: Their names, for messages.
        count, epochs: Limits, of which at least one must be given.
        per_epoch: How many make a pass over the training set.

    Raises:
        ConfigError: Neither is given, or one is not above 0.
    """
    limits = []
    if count is not None:
        limits.append(positive_int(keys[0], count))
    if epochs is not None:
        limits.append(max(1, round(positive(keys[1], epochs) * per_epoch)))
    if not limits:
        raise ConfigError(f"{keys[0]}, {keys[1]}: both are null, so the run has no end; give one of them")
    return min(limits)


def places(prompts: int, updates: int, rank: int, world: int) -> list[int]:
    """Prompts of a rollout that are one process's: an equal part of each update's, which stand together.

    Which prompts an update learns from then does not depend on the number of processes.

    Args:
        prompts: Of the rollout, a multiple of ``updates`` times ``world``.
        updates: Into which a pass over it is cut.
        rank, world: The process, and how many there are.
    """
    whole, part = prompts // updates, prompts // (updates * world)
    return [update * whole + rank * part + i for update in range(updates) for i in range(part)]


class RolloutSchedule(Sequence[RolloutStep]):
    """rollouts x μ iterations x slots of prompts x parts of draws, in that order.

    Args:
        size: Rows of the training set.
        algorithm: The lengths and sizes.
        rank, world: Which :func:`places` of each rollout are this process's; a group is never split.

    Attributes:
        mine: These places.
        step_size, slots: Prompts of a micro-batch, slices of so many in a process's share of a rollout.
        parts: Parts of an iteration's draws.
        rollouts: In the whole run.
    """

    def __init__(self, size: int, algorithm: Algorithm, rank: int = 0, world: int = 1):
        prompts = algorithm.prompts_per_rollout
        share = share_of("algo.prompts_per_rollout", prompts, world)
        self.step_size = _micro_batch(
            "algo.prompts_per_micro_batch", algorithm.prompts_per_micro_batch, share
        )
        self.slots = share // self.step_size
        self.parts = algorithm.parts_of(algorithm.logprobs.count(algorithm.sampler.length))
        self.draws = Shuffled(size, prompts, algorithm.seed, "algo.prompts_per_rollout")
        self.rollouts = run_length(
            ("algo.rollouts", "algo.epochs"), algorithm.rollouts, algorithm.epochs, self.draws.per_epoch
        )
        self.iterations = algorithm.num_iterations
        self.mine = places(prompts, algorithm.updates_per_iteration, rank, world)

    def __len__(self) -> int:
        return self.rollouts * self.iterations * self.slots * len(self.parts)

    def __getitem__(self, index: int) -> RolloutStep:
        slots, part = divmod(range(len(self))[index], len(self.parts))
        passes, slot = divmod(slots, self.slots)
        rollout, iteration = divmod(passes, self.iterations)
        start = slot * self.step_size
        return RolloutStep(
            rollout,
            iteration,
            start,
            start + self.step_size,
            self.parts[part],
            first=iteration == slot == part == 0,
            indices=self._of_mine(self.draws[rollout]),
        )

    def spares(self, rollout: int, attempt: int) -> tuple[int, ...]:
        """Rows of the training set, not of this rollout, for each of this process's places; () if too few.

        Rounds of one rollout share no row.
        """
        count = self.draws.count
        if (attempt + 2) * count > self.draws.size:
            return ()
        taken = set(self.draws[rollout])
        others = [row for row in range(self.draws.size) if row not in taken]
        python_rng(self.draws.seed, "spares", rollout).shuffle(others)
        return self._of_mine(others[attempt * count :])

    def _of_mine(self, rows: Sequence[int]) -> tuple[int, ...]:
        return tuple(rows[place] for place in self.mine)


class SFTSchedule(Sequence[SFTStep]):
    """Updates x slots; a new order each epoch.

    Args:
        size: Rows of the training set.
        algorithm: The lengths and sizes.
        rank, world: Which contiguous share of each update is this process's.
    """

    def __init__(self, size: int, algorithm: Supervised, rank: int = 0, world: int = 1):
        rows = algorithm.batch_size
        share = share_of("algo.batch_size", rows, world)
        self.step_size = _micro_batch("algo.rows_per_micro_batch", algorithm.rows_per_micro_batch, share)
        self.slots = share // self.step_size
        self.first = rank * share
        self.draws = Shuffled(size, rows, algorithm.seed, "algo.batch_size")
        self.steps = run_length(
            ("algo.steps", "algo.epochs"), algorithm.steps, algorithm.epochs, self.draws.per_epoch
        )

    def __len__(self) -> int:
        return self.steps * self.slots

    def __getitem__(self, index: int) -> SFTStep:
        update, slot = divmod(range(len(self))[index], self.slots)
        start = self.first + slot * self.step_size
        return SFTStep(update, start, tuple(self.draws[update][start : start + self.step_size]))


def _micro_batch(key: str, most: int, share: int) -> int:
    """The largest equal parts of ``share`` that are no larger than ``most``."""
    return max(n for n in range(1, min(positive_int(key, most), share) + 1) if share % n == 0)


class Sealed:
    """A batch that Lightning hands on as it is.

    Precision plugins look into lists and dataclasses and round the floats they find to bfloat16:
    rewards and log-probs must not be, and frozen dataclasses are refused. ``open`` gives the batch back.
    """

    def __init__(self, item: Any):
        self._item = item

    def open(self) -> Any:
        return self._item


class StepLoader:
    """A sized loader over a sequence of steps that remembers where it is.

    Lightning fetches nothing ahead from a sized loader. That matters: a step fetched ahead would get
    its rollouts from the policy of one update before.

    Args:
        steps: What to go through.
        per_update: Steps of one update. The place is kept in updates, so it is found again when another
            number of processes cuts an update into other micro-batches.
        between_updates: Called before an update's first step, unless it is the very first: all that came
            before is done by then, logging and validation included.
    """

    def __init__(
        self,
        steps: Sequence[Any],
        per_update: int = 1,
        between_updates: Callable[[], None] = lambda: None,
    ):
        self.steps, self.per_update, self.between_updates = steps, per_update, between_updates
        self._first = self._next = 0

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Sealed]:
        # Only a restored state starts midway: Lightning takes the last step without asking for a
        # further one, so an earlier pass may never have seen its own end.
        first, self._first = self._first, 0
        for index in range(first, len(self.steps)):
            if index % self.per_update == 0 and index > first:
                self.between_updates()
            self._next = index + 1
            yield Sealed(self.steps[index])

    def state_dict(self) -> dict[str, int]:
        return {"next": self._next, "per_update": self.per_update}

    def load_state_dict(self, state: dict[str, int]) -> None:
        updates, rest = divmod(state["next"], state["per_update"])
        if rest and state["per_update"] != self.per_update:
            raise ConfigError(
                "resume: the checkpoint was written within an update, which now has "
                f"{self.per_update} micro-batches a process instead of {state['per_update']}; resume with as "
                "many processes as before"
            )
        self._first = self._next = updates * self.per_update + rest

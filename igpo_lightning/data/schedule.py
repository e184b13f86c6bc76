"""Which problems each step sees: pure functions of the step's index, so that resuming is seeking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..checks import ConfigError, positive_int
from ..seeding import python_rng


@dataclass(frozen=True)
class RolloutStep:
    """One micro-batch of policy optimisation.

    Attributes:
        window: Rollout window; its prompts are ``indices`` (this process's share of them).
        inner: Which of the μ passes over the window.
        start, stop: The slice of the window's prompts that this micro-batch trains on.
        slot: Index of the micro-batch within its pass.
    """

    window: int
    inner: int
    slot: int
    start: int
    stop: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class SFTStep:
    """One micro-batch of supervised fine-tuning."""

    step: int
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
        self._order = lru_cache(maxsize=2)(self._make_order)

    def _make_order(self, epoch: int) -> list[int]:
        order = list(range(self.size))
        python_rng(self.seed, "order", epoch).shuffle(order)
        return order

    def __getitem__(self, draw: int) -> list[int]:
        epoch, place = divmod(draw, self.size // self.count)
        return self._order(epoch)[place * self.count : (place + 1) * self.count]


class RolloutSchedule(Sequence[RolloutStep]):
    """windows x μ passes x slots, in that order.

    Args:
        size: Rows of the training set.
        windows: Rollout windows in the whole run.
        prompts_per_window: Of all processes together.
        prompts_per_step: Prompts of one micro-batch on one process.
        inner_updates: μ.
        rank, world: Which contiguous share of each window is this process's; a group is never split.
    """

    def __init__(
        self,
        size: int,
        *,
        windows: int,
        prompts_per_window: int,
        prompts_per_step: int,
        inner_updates: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ):
        self.slots, rest = divmod(prompts_per_window, world * prompts_per_step)
        if rest or not self.slots:
            raise ConfigError(
                f"algo.prompts_per_window={prompts_per_window}: must be a multiple of {world} processes x "
                f"algo.prompts_per_step={prompts_per_step}; "
                f"nearest: {max(self.slots, 1) * world * prompts_per_step}"
            )
        self.windows, self.inner_updates, self.step_size = windows, inner_updates, prompts_per_step
        self.draws = Shuffled(size, prompts_per_window, seed, "algo.prompts_per_window")
        share = prompts_per_window // world
        self.mine = slice(rank * share, (rank + 1) * share)

    def __len__(self) -> int:
        return self.windows * self.inner_updates * self.slots

    def __getitem__(self, index: int) -> RolloutStep:
        passes, slot = divmod(range(len(self))[index], self.slots)
        window, inner = divmod(passes, self.inner_updates)
        start = slot * self.step_size
        return RolloutStep(
            window, inner, slot, start, start + self.step_size, tuple(self.draws[window][self.mine])
        )


class SFTSchedule(Sequence[SFTStep]):
    """Micro-batches of ``batch_size`` rows per process; a new order each epoch."""

    def __init__(self, size: int, *, steps: int, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        positive_int("algo.batch_size", batch_size)
        self.steps = steps
        self.draws = Shuffled(size, batch_size * world, seed, "algo.batch_size")
        self.mine = slice(rank * batch_size, (rank + 1) * batch_size)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> SFTStep:
        step = range(self.steps)[index]
        return SFTStep(step, tuple(self.draws[step][self.mine]))


class StepLoader:
    """A sized loader over a sequence of steps that remembers where it is.

    Lightning fetches nothing ahead from a sized loader. That matters: a step fetched ahead would get
    its rollouts from the policy of one update before.
    """

    def __init__(self, steps: Sequence[Any]):
        self.steps = steps
        self._first = self._next = 0

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Any]:
        # Only a restored state starts midway: Lightning takes the last step without asking for a
        # further one, so an earlier pass may never have seen its own end.
        first, self._first = self._first, 0
        for index in range(first, len(self.steps)):
            self._next = index + 1
            yield self.steps[index]

    def state_dict(self) -> dict[str, int]:
        return {"next": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._first = self._next = state["next"]

"""Rounds: contenders take turns on one machine, so that what disturbs it disturbs all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .contenders import Contender
from .meter import Meter, Turn
from .operations import Counter, Shapes, plain_rate

PUBLISHED = "published"
FIGURES = (
    *("what", "name", "changes", "point", "seconds", "spread", "ratio", "ratios", "cpu_ratio", "operations"),
    *("tokens_per_second", "forwards_per_token", "share", "memory", "memory_of_work", "phases"),
)
"""Attributes of a :class:`Result` that its record holds."""


@dataclass
class Result:
    """All that was measured of one contender.

    Attributes:
        what, name, changes: The contender's.
        turns: One a round.
        operations: Floating-point operations of a turn, or None where they could not be counted.
        rate: Operations per second of plain products of the same shapes, in the same run.
        point: The size that a sweep gave it, such as {"batch": 4}.
    """

    what: str
    name: str
    changes: list[str]
    turns: list[Turn] = field(default_factory=list)
    operations: int | None = None
    rate: float | None = None
    point: dict[str, int] = field(default_factory=dict)
    against: Sequence[Turn] = ()  # of the published code, round by round

    @property
    def seconds(self) -> float:
        return median(turn.seconds for turn in self.turns)

    @property
    def spread(self) -> float:
        """From the fastest round to the slowest, as a share of the median."""
        every = [turn.seconds for turn in self.turns]
        return (max(every) - min(every)) / self.seconds

    @property
    def ratios(self) -> list[float]:
        """Times as fast as the published code, round by round; none without it."""
        return [theirs.seconds / own.seconds for theirs, own in zip(self.against, self.turns, strict=False)]

    @property
    def ratio(self) -> float | None:
        return median(self.ratios) if self.ratios else None

    @property
    def cpu_ratio(self) -> float | None:
        """The same of processor time; None where that was not measured."""
        pairs = zip(self.against, self.turns, strict=False)
        ratios = [theirs.cpu / own.cpu for theirs, own in pairs if own.cpu]
        return median(ratios) if ratios else None

    @property
    def tokens_per_second(self) -> float:
        return self.turns[0].tokens / self.seconds

    @property
    def forwards_per_token(self) -> float | None:
        """Rows that went through the model for each token."""
        first = self.turns[0]
        return None if first.row_forwards is None else first.row_forwards / first.tokens

    @property
    def share(self) -> float | None:
        """Share of the rate of plain products that the work as a whole reached."""
        if self.operations is None or self.rate is None:
            return None
        return self.operations / self.seconds / self.rate

    @property
    def memory(self) -> int | None:
        """Most bytes held in any round."""
        return max((turn.memory for turn in self.turns if turn.memory is not None), default=None)

    @property
    def memory_of_work(self) -> int | None:
        """Most bytes that a round needed beyond those that were held at its start."""
        grown = [t.memory - t.before for t in self.turns if t.memory is not None and t.before is not None]
        return max(grown, default=None)

    @property
    def phases(self) -> dict[str, float]:
        """Median seconds by phase."""
        names = dict.fromkeys(name for turn in self.turns for name in turn.phases)
        return {name: median(turn.phases.get(name, 0.0) for turn in self.turns) for name in names}

    def record(self) -> dict[str, Any]:
        """The figures, as plain values."""
        turns = {"turns": [vars(turn) for turn in self.turns], "tokens": self.turns[0].tokens}
        return {**{name: getattr(self, name) for name in FIGURES}, **turns}


def measure(
    contenders: Sequence[Contender], repeats: int, say: Callable[[str], None] = lambda text: None
) -> list[Result]:
    """Let all contenders work ``repeats`` times, in turns, after one round that warms up and counts.

    Each round begins with another contender, and measures the rate of plain products.

    Args:
        contenders: Of each kind the one that is named "published" is what the others are compared with.
        repeats: Rounds that count.
        say: Called with a line about what comes next.
    """
    results = [Result(c.what, c.name, c.changes) for c in contenders]
    rates: list[float] = []
    for contender, result in zip(contenders, results, strict=True):
        say(f"warming up: {result.what}, {result.name}")
        result.operations = _counted(contender)
    for number in range(repeats):
        say(f"round {number + 1} of {repeats}")
        rates.append(rate_of(contenders[0]))
        for place in range(len(contenders)):
            which = (place + number) % len(contenders)
            results[which].turns.append(_turn(contenders[which]))
    theirs = {r.what: r.turns for r in results if r.name == PUBLISHED}
    for result in results:
        result.rate, result.against = max(rates), theirs.get(result.what, ())
    return results


def rate_of(contender: Contender) -> float:
    """Operations per second of plain products of the network's shapes, with the rows of the workload."""
    load = contender.load
    with load.precision():
        dtype = load.compute_dtype
    return plain_rate(Shapes.of(load.policy.network), load.rows * load.columns, dtype, load.device)


def _turn(contender: Contender) -> Turn:
    meter = Meter(contender.load.device)
    contender.work(contender.load, meter)
    return meter.turn


def _counted(contender: Contender) -> int | None:
    """Operations of one turn, which also compiles and loads what is compiled and loaded once."""
    if contender.own_network:
        _turn(contender)
        return None
    policy = contender.load.policy
    counter = Counter(Shapes.of(policy.network))
    with counter.watching(policy):
        turn = _turn(contender)
    # A call that no hook sees (a replayed graph) makes the count too small: then there is none.
    seen_all = counter.rows >= (turn.row_forwards or 1)
    return counter.operations if seen_all else None

"""Embedded arithmetic word problems, made without end from a seed.

A problem is a story in which persons own numbers and verbs change them:

    prompt   Ann has 5 wins 2 . Bob has 6 eats 1 . total ?
    trace    5 + 2 = 7 ; 6 - 1 = 5 ; 7 + 5 = 12 #### 12

Every verb truly means one operator. A corpus for supervised fine-tuning may be made by annotators
who do not *agree* what the verbs mean (``agreement`` < 1): each verb's operator is then drawn at
random, and trace and answer follow the draw. The prompt alone no longer tells the answer, the trace
does, so a model that fits such a corpus must read what its trace says. Hints cut from a trace are
worth nothing to a model that does not.

The numbers of a story are drawn so that *every* choice of operators stays within 0..max_number.
They therefore carry no information on the operators, and prompts have the same distribution
whatever the agreement.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Literal

from igpo_lightning.checks import ConfigError, choice, fraction, interval, positive_int
from igpo_lightning.data.sources.generated import Generated, Made, part_of
from igpo_lightning.seeding import python_rng
from igpo_lightning.types import Problem


@dataclass(frozen=True)
class Operator:
    """One arithmetic operator and all the words for it."""

    symbol: str
    apply: Callable[[int, int], int]
    explicit: str  # the word of explicit problems, with one meaning for everybody
    says: str  # what a verbose trace calls it
    verbs: tuple[str, ...]  # the verbs that truly mean it


OPERATORS = (
    Operator("+", operator.add, "plus", "add", ("wins", "finds", "earns")),
    Operator("-", operator.sub, "minus", "subtract", ("eats", "loses", "gives")),
    Operator("*", operator.mul, "times", "multiply", ("grows", "copies", "breeds")),
)
MEANING = {verb: op for op in OPERATORS for verb in op.verbs}
EXPLICIT = {op.explicit: op for op in OPERATORS}
NAMES = ("Ann", "Bob", "Cem", "Dee", "Eve", "Fay", "Gus", "Hal")


@dataclass(frozen=True)
class Form:
    """A way to write a trace: what a step looks like, and what stands between two.

    Attributes:
        step: Format of one step: ``left``, ``op``, ``right``, ``value``, and ``says``, which leads to it.
    """

    step: str
    between: str


TRACES = {
    "concise": Form("{left} {op} {right} = {value}", " ; "),
    "verbose": Form("{says} : {left} {op} {right} = {value} .", " "),
    "result_first": Form("{value} = {left} {op} {right}", " ; "),
}

_MAX_START = 15
_MAX_OPERAND = 5
_HELDOUT_SHARE = 2  # of two stories one is held out: there are not many short ones with small numbers
_TRIES = 10_000
_TRACE_WORDS = "; = #### . , : First Then has and so we At the end add what they have"
_PROMPT_WORDS = "has . total ?"


@dataclass(frozen=True)
class Person:
    """One person of a story: owns ``start`` things, then does each (verb, operand) in turn."""

    name: str
    start: int
    actions: tuple[tuple[str, int], ...]

    def says(self) -> str:
        return " ".join([self.name, "has", str(self.start), *(f"{verb} {n}" for verb, n in self.actions)])


class WordProblems(Generated):
    """Multi-step arithmetic word problems.

    Training, validation and test problems are disjoint by construction: which one a problem is, is a hash
    of its content (numbers and verbs, not names), the same for every seed and setting. So what one
    ``WordProblems`` holds out is also disjoint from the training set of any other. What is held out depends
    on ``split_seed``, and only the training problems on ``seed``. Held-out problems are all different, also
    without their names; training problems are drawn with replacement.

    ``agreement``, ``explicit`` and ``wrong_traces`` shape the training set only. Held-out problems always
    use the true meaning of the verbs, no explicit operator words, and a trace that leads to the answer.

    Args:
        train_size: Number of training problems. They are made when asked for.
        val_size, test_size: Number of held-out problems.
        steps: (fewest, most) actions in a story, drawn uniformly for each problem.
        people: Number of persons; actions are dealt to them evenly, and what they have is added up.
        max_number: Largest number that may occur anywhere.
        trace: "concise" (equations), "verbose" (sentences around the same equations) or "result_first" (the
            equations turned around, ``7 = 5 + 2``, as wide as concise ones: a form that a model which was
            fine-tuned on those never writes).
        agreement: Probability that a verb gets its true operator; else one of the others.
        explicit: Share of problems that say "plus", "minus", "times", with just that meaning.
        wrong_traces: Share of problems whose trace mistakes an operator, reckons on, and closes with the
            right answer all the same: noise in what hints are cut from.
        level: Label in the problem ids; by default the steps, such as "2" or "2-4".
        seed: Names the draw of training problems.
        split_seed: Names the draw of held-out problems.

    Raises:
        ConfigError: A value is out of range, no story of that many steps fits below max_number, or there are
            fewer different ones than are to be held out.
    """

    name = "word_problems"

    def __init__(
        self,
        train_size: int = 20_000,
        val_size: int = 256,
        test_size: int = 1_000,
        steps: Sequence[int] = (2, 2),
        people: int = 2,
        max_number: int = 63,
        trace: Literal["concise", "verbose", "result_first"] = "concise",
        agreement: float = 1.0,
        explicit: float = 0.0,
        wrong_traces: float = 0.0,
        level: str | None = None,
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        low, high = (int(count) for count in interval("data.source.steps", steps, 1, integer=True))
        self.steps = low, high
        self.people = positive_int("data.source.people", people)
        if people > len(NAMES):
            raise ConfigError(f"data.source.people={people}: at most {len(NAMES)} persons have a name")
        self.max_number = positive_int("data.source.max_number", max_number)
        self.trace = choice("data.source.trace", trace, *TRACES)
        self.agreement = fraction("data.source.agreement", agreement)
        self.explicit = fraction("data.source.explicit", explicit)
        self.wrong_traces = fraction("data.source.wrong_traces", wrong_traces)
        self.level = level or (str(low) if low == high else f"{low}-{high}")
        self._draw_story(python_rng(seed, "fits?"), high, explicit=False)  # raises if nothing fits
        super().__init__(train_size, val_size, test_size, seed, split_seed)

    def vocabulary(self) -> list[str]:
        """Every word any setting of this class can produce (for numbers: up to max_number)."""
        words = {*NAMES, *MEANING, *EXPLICIT, *_TRACE_WORDS.split(), *_PROMPT_WORDS.split()}
        words |= {word for op in OPERATORS for word in (op.symbol, op.says)}
        return sorted(words) + [str(n) for n in range(self.max_number + 1)]

    def made(self, part: str, seed: int, index: int) -> Made:
        rng, trains = python_rng(seed, self.name, part, self.level, index), part == "train"
        explicit = trains and rng.random() < self.explicit
        count = rng.randint(*self.steps)
        story = self._draw_story(rng, count, explicit)
        while part_of(self.name, _content(story), _HELDOUT_SHARE) != part:
            story = self._draw_story(rng, count, explicit)
        verbs = [verb for person in story for verb, _ in person.actions]
        agreement = self.agreement if trains else 1.0
        meant = [EXPLICIT[v] if explicit else _draw_meaning(rng, v, agreement) for v in verbs]
        form = TRACES[self.trace]
        trace, total = _solve(story, meant, form)
        # The last draw, so that the problems are those without noise.
        if trains and rng.random() < self.wrong_traces:
            trace, _ = _solve(story, _mistaken(rng, meant), form)
        problem = Problem(
            id=f"{self.name}/{self.level}/{part}/{index}",
            prompt=f"{' . '.join(person.says() for person in story)} . total ?",
            trace=f"{trace} #### {total}",
            answer=str(total),
            meta={"level": self.level, "steps": count, "explicit": explicit, "verbs": tuple(verbs)},
        )
        return _content(story), problem

    def _draw_story(self, rng: Random, count: int, explicit: bool) -> tuple[Person, ...]:
        names = rng.sample(NAMES, self.people)
        shares = [count // self.people + (k < count % self.people) for k in range(self.people)]
        words = tuple(EXPLICIT) if explicit else tuple(MEANING)
        return tuple(self._draw_person(rng, name, n, words) for name, n in zip(names, shares, strict=True))

    def _draw_person(self, rng: Random, name: str, actions: int, words: Sequence[str]) -> Person:
        ceiling = self.max_number // self.people  # so that the total stays below max_number
        for _ in range(_TRIES):
            operands = [rng.randint(1, _MAX_OPERAND) for _ in range(actions)]
            if starts := _starts(tuple(operands), ceiling):
                return Person(name, rng.choice(starts), tuple((rng.choice(words), n) for n in operands))
        raise ConfigError(
            f"data.source.max_number: no story with {actions} actions per person stays within "
            f"0..{self.max_number} for {self.people} people; raise max_number or lower steps"
        )


@lru_cache(maxsize=100_000)
def _starts(operands: tuple[int, ...], ceiling: int) -> tuple[int, ...]:
    """Numbers a person may own at first so that no choice of operators leaves 0..ceiling."""
    lowest = sum(operands) or 1
    return tuple(s for s in range(lowest, _MAX_START + 1) if _highest(s, operands) <= ceiling)


def _highest(start: int, operands: Sequence[int]) -> int:
    """The largest value any choice of operators can reach (the smallest is start - sum(operands))."""
    for n in operands:
        start = max(op.apply(start, n) for op in OPERATORS)
    return start


def _content(story: Sequence[Person]) -> str:
    """A story without its names: whose numbers they are makes no difference."""
    return " ".join(str((person.start, person.actions)) for person in story)


def _draw_meaning(rng: Random, verb: str, agreement: float) -> Operator:
    true = MEANING[verb]
    if rng.random() < agreement:
        return true
    return rng.choice([op for op in OPERATORS if op is not true])


def _mistaken(rng: Random, meant: Sequence[Operator]) -> list[Operator]:
    """The operators with one of them changed."""
    place = rng.randrange(len(meant))
    other = rng.choice([op for op in OPERATORS if op is not meant[place]])
    return [*meant[:place], other, *meant[place + 1 :]]


def _solve(story: Sequence[Person], meant: Sequence[Operator], form: Form) -> tuple[str, int]:
    """The steps of the solution in order, and the total."""
    said: list[str] = []
    operators = iter(meant)

    def step(left: int, op: Operator, right: int, says: str) -> int:
        value = op.apply(left, right)
        said.append(form.step.format(left=left, op=op.symbol, right=right, value=value, says=says))
        return value

    owned = []
    for person in story:
        value = person.start
        for verb, n in person.actions:
            op, does = next(operators), verb if verb in EXPLICIT else f"and {verb}"
            opening = "Then" if said else "First"
            value = step(value, op, n, f"{opening} , {person.name} has {value} {does} {n} , so we {op.says}")
        owned.append(value)
    total = owned[0]
    for value in owned[1:]:
        total = step(total, OPERATORS[0], value, "At the end we add what they have")
    return form.between.join(said), total

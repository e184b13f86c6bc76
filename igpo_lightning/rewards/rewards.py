"""Reward terms and their weighted sum.

A term is any object with a ``weight`` that maps (problems, completions) to one float per completion; a
problem's ``task`` carries what else its rows hold (tests, puzzles, units). It judges each completion by
itself: it is shown a part of a rollout at a time, while the next part is sampled. To add one: write the
class, and name it under ``terms`` of a config in ``conf/reward``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import torch

from igpo_lightning import progress
from igpo_lightning.amounts import is_number, whole_number
from igpo_lightning.checks import ConfigError, reading_first_box
from igpo_lightning.contracts import refuse
from igpo_lightning.rewards.answers import ends_cleanly, extract, statements
from igpo_lightning.rewards.verify import Verifier
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem, Scores


class Term(Protocol):
    """One part of a reward; ``weight`` is its factor in the sum."""

    weight: float

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Sequence[float]: ...


class Stated:
    """Base of terms that value the answer that a completion states; 0 where it states none.

    Args:
        weight: Factor in the sum.
        read: Text → the answer that it states, or None; by default the last one.

    Attributes:
        needs: Entry of a problem's ``task`` without which it can't be judged.
    """

    needs: str | None = None

    def __init__(self, weight: float = 1.0, read: Callable[[str], str | None] = extract) -> None:
        self.weight, self.read = weight, read

    def value(self, problem: Problem, answer: str) -> float:
        """The worth of ``answer``; by default 1, for having one."""
        return 1.0

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return self.judge(problems, completions)[0]

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Refuse problems that can't be judged.

        Raises:
            ConfigError: A problem is of another task.
        """
        for problem in () if self.needs is None else problems:
            if self.needs not in problem.task:
                raise ConfigError(
                    f"reward: {problem.named} has no {self.needs!r}, which {type(self).__name__} reads; "
                    "choose data and reward of one task"
                )

    def judge(
        self, problems: Sequence[Problem], completions: Sequence[str]
    ) -> tuple[list[float], list[str | None]]:
        """The values, and the answers that they are about; None where a completion states none."""
        self.check_problems(problems)
        values, stated = [], []
        for problem, completion in zip(problems, completions, strict=True):
            progress.step(len(values), len(completions))
            answer = self.read(completion)
            stated.append(answer)
            values.append(0.0 if answer is None else float(self.value(problem, answer)))
        return values, stated


class Correctness(Stated):
    """1 if the completion's final answer equals the gold one, else 0.

    Args:
        verifier: Compares answers.
        weight, read: See :class:`Stated`.
    """

    def __init__(
        self, verifier: Verifier, weight: float = 1.0, read: Callable[[str], str | None] = extract
    ) -> None:
        super().__init__(weight, read)
        self.verifier = verifier

    def value(self, problem: Problem, answer: str) -> float:
        return self.verifier.equal(answer, problem.answer)

    def first_box(self) -> Correctness:
        """The same, but reading the first box of a completion, and nothing where it has none."""
        return Correctness(self.verifier, self.weight, _first_box)


class AnswerFormat:
    """1 if the completion states exactly one final answer and ends with it, else 0."""

    def __init__(self, weight: float = 0.1) -> None:
        self.weight = weight

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return [float(self._clean(completion)) for completion in completions]

    @staticmethod
    def _clean(completion: str) -> bool:
        found = statements(completion)
        return len(found) == 1 and ends_cleanly(completion, found[0])


class TagFormat:
    """Format reward as the published code of IGPO pays it (facebookresearch/igpo, utils/reward_func.py).

    Args:
        tags: Texts of which each should stand exactly once, wherever.
        tag: Paid for each that does.
        box: Paid if there is any ``\\boxed{``.
        weight: Factor in the sum.
    """

    def __init__(self, tags: Sequence[str], tag: float = 0.125, box: float = 0.25, weight: float = 1.0):
        if isinstance(tags, str) or not tags or not all(isinstance(text, str) and text for text in tags):
            raise ConfigError(f"reward.terms: the tags {tags} are not a list of texts")
        self.tags, self.tag, self.box, self.weight = tuple(tags), tag, box, weight

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> list[float]:
        return [
            self.tag * sum(text.count(tag) == 1 for tag in self.tags) + self.box * ("\\boxed{" in text)
            for text in completions
        ]


class RewardSum:
    """The weighted sum of named terms; one of them decides what counts as correct.

    Args:
        terms: Name to term; the names appear in the metrics as ``rollout/reward/<name>``.
        correctness: Name of the term whose value decides: above 0 means "correct", or at least
            ``correct_from`` if the term has such a number.
        workers: Threads that score completions of a rollout while others are still being sampled. 0 scores
            all of them afterwards in the main thread, as a term that sets signals (SIGALRM) needs it.

    Raises:
        ConfigError: If ``terms`` is empty, a term is not one, or ``correctness`` names none of them.
    """

    def __init__(self, terms: Mapping[str, Term], correctness: str, workers: int = 1) -> None:
        self.workers = whole_number("reward.workers", workers)
        self.terms = {name: term for name, term in terms.items() if term is not None}
        self.correctness = correctness
        if correctness not in self.terms:
            known = ", ".join(self.terms) or "none"
            raise ConfigError(f"reward.correctness: '{correctness}' is not one of reward.terms ({known})")
        for name, term in self.terms.items():
            if not callable(term) or not is_number(getattr(term, "weight", None)):
                raise ConfigError(f"reward.terms.{name}: a term needs a numeric 'weight' and to be callable")

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores:
        """Score B completions, each of the problem at its place in ``problems``."""
        if len(completions) != len(problems):
            raise ValueError(f"{len(completions)} completions but {len(problems)} problems")
        parts, stated = {}, None
        for name, term in self.terms.items():
            judge: Any = getattr(term, "judge", None) if name == self.correctness else None
            found, answers = judge(problems, completions) if judge else (term(problems, completions), None)
            stated = answers if judge else stated
            parts[name] = _numbers(f"reward.terms.{name}", term, found, len(completions))
        total = torch.zeros(len(completions), dtype=torch.float32, device="cpu")
        for name, values in parts.items():
            total += self.terms[name].weight * values
        decides = parts[self.correctness]
        least = getattr(self.terms[self.correctness], "correct_from", None)
        correct = decides > 0 if least is None else decides >= least
        return Scores(total, correct, parts, None if stated is None else _alike(stated))

    def check_problems(self, problems: Sequence[Problem]) -> None:
        """Refuse problems that a term can't judge, before anything is asked of a model."""
        for term in self.terms.values():
            if asked := getattr(term, "check_problems", None):
                asked(problems)

    def read(self, completion: str) -> str | None:
        """The answer that decides, as the term that judges it reads it."""
        return getattr(self.terms[self.correctness], "read", extract)(completion)

    @property
    def timeouts(self) -> int:
        """Answers that a verifier gave up so far, because they took too much time or memory."""
        verifiers = {id(v): v for t in self.terms.values() if (v := getattr(t, "verifier", None)) is not None}
        return sum(getattr(verifier, "timeouts", 0) for verifier in verifiers.values())

    def first_box(self) -> RewardSum:
        """The same, but correct is what the first box says, as the published code of IGPO reads completions.

        Raises:
            ConfigError: The term that decides what is correct can't read that way.
        """
        name = self.correctness
        term = reading_first_box(f"reward.terms.{name}", self.terms[name])
        return RewardSum({**self.terms, name: term}, name, self.workers)


def _numbers(key: str, term: Any, found: Any, count: int) -> torch.Tensor:
    """[B] float32 that a term found."""
    values = None
    if not (isinstance(found, torch.Tensor) and found.is_complex()):
        with suppress(TypeError, ValueError, RuntimeError):  # None, texts, lists of several lengths
            values = torch.as_tensor(found, dtype=torch.float32, device="cpu")
    if values is None or values.shape != (count,):
        refuse(key, term, found, f"a number for each of {count} completions")
    return values


def _alike(answers: Sequence[str | None]) -> torch.Tensor:
    """[B] int64, the same for answers of the same letters; -1 for None."""
    ids = [-1 if text is None else derive("answer", "".join(text.split())) for text in answers]
    return torch.tensor(ids, dtype=torch.long, device="cpu")


def _first_box(completion: str) -> str | None:
    """Return what the first ``\\boxed{`` holds up to its closing brace, as the published code reads it."""
    _, box, rest = completion.partition("\\boxed{")
    depth = 1
    for at, character in enumerate(rest if box else ""):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return rest[:at].strip() or None
    return None

"""Records of a trace: answers that were paid for, verdicts on them, the outcome."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from igpo_lightning.types import Problem

ORIGINAL = 0
"""The "attempt" of a trace that is kept as it was."""

UNANSWERED = "no answer"
UNJUDGED = "not judged yet"


@dataclass(frozen=True)
class Answer:
    """One answer of the writer, as journalled.

    Attributes:
        id: Of the problem.
        attempt: 1 for the first try.
        source: :func:`digest` of the problem that was asked about.
        text: As written, surrounding white space removed.
        finish: Why the writer stopped ("stop", "length", …).
        prompt_tokens, completion_tokens: As the writer counts them; None if it does not tell.
        session: Which start of the program got it (1, 2, …).
        at: Seconds since that start.
    """

    id: str
    attempt: int
    source: str
    text: str
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None
    session: int
    at: float


@dataclass(frozen=True)
class Verdict:
    """Verdict of the judge on one attempt.

    Attributes:
        id, attempt: Of the answer; attempt 0 is the original trace.
        reason: Why it is rejected, one of :mod:`~igpo_lightning.rewriting.judge`'s; None if it is kept.
        told: The same in words for the writer.
        tokens: Length of the rewrite, without an end token.
        source_tokens: Length of the original trace.
    """

    id: str
    attempt: int
    reason: str | None
    told: str
    tokens: int
    source_tokens: int


@dataclass
class Trace:
    """One problem and what became of its trace so far.

    ``failure`` says why the last request of this process got no answer; it is not journalled.
    """

    problem: Problem
    answers: list[Answer] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    failure: str | None = None

    @property
    def kept(self) -> Verdict | None:
        """The verdict that keeps it, if there is one."""
        return next((verdict for verdict in self.verdicts if verdict.reason is None), None)

    @property
    def text(self) -> str | None:
        """The trace to train on; None unless it is kept."""
        verdict = self.kept
        if verdict is None:
            return None
        return self.problem.trace if verdict.attempt == ORIGINAL else self._answer(verdict.attempt).text

    @property
    def unjudged(self) -> Answer | None:
        """An answer without a verdict, if there is one."""
        judged = {verdict.attempt for verdict in self.verdicts}
        return next((answer for answer in self.answers if answer.attempt not in judged), None)

    def is_open(self, attempts: int) -> bool:
        """True while an answer is to be judged or another one may be asked for."""
        return self.kept is None and (len(self.answers) < attempts or self.unjudged is not None)

    def reason(self) -> str | None:
        """Reason that there is no concise trace (yet); None if there is one."""
        if self.kept is not None:
            return None
        if self.unjudged is not None:
            return UNJUDGED
        if self.failure is not None or not self.verdicts:
            return UNANSWERED
        return self.verdicts[-1].reason

    def last(self) -> tuple[Answer, Verdict] | None:
        """The last attempt with its verdict."""
        if not self.answers or not self.verdicts:
            return None
        verdict = self.verdicts[-1]
        return self._answer(verdict.attempt), verdict

    def _answer(self, attempt: int) -> Answer:
        return next(answer for answer in self.answers if answer.attempt == attempt)


def clean(text: str) -> str:
    """``text`` without surrounding white space, and without halves of surrogate pairs, which are no text."""
    return text.encode("utf-8", "replace").decode().strip()


def digest(problem: Problem) -> str:
    """A short hash of a problem's prompt, trace and answer."""
    text = "\x1f".join((problem.prompt, problem.trace, problem.answer))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

"""The journal: what was answered and what the judge said of it, one JSON object a line.

An answer is on the disk before it is used, for it costs money; a verdict is only derived from one. A
process that is killed while it writes leaves a torn last line, which is cut when the file is next read.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from igpo_lightning.amounts import is_int
from igpo_lightning.checks import ConfigError
from igpo_lightning.files import append_line
from igpo_lightning.types import Problem

FILE = "journal.jsonl"

ORIGINAL = 0
"""The "attempt" of a trace that is kept as it was."""


@dataclass(frozen=True)
class Answer:
    """One answer of the writer.

    ``source`` is the :func:`digest` of the problem. The tokens are as the writer counts them, None if it
    does not tell. It came ``at`` so many seconds after that start (1, 2, …) of the program, ``session``.
    Counts that are no whole numbers, and a ``finish`` that is no text, count as not told: earlier versions
    have journalled whatever a server sent.
    """

    id: str
    attempt: int  # 1 for the first try
    source: str
    text: str
    finish: str  # why the writer stopped: "stop", "length", …
    prompt_tokens: int | None
    completion_tokens: int | None
    session: int
    at: float

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "completion_tokens"):
            if not is_int(getattr(self, name)):
                object.__setattr__(self, name, None)
        if not isinstance(self.finish, str):
            object.__setattr__(self, "finish", "stop")


@dataclass(frozen=True)
class Verdict:
    """The judge's word on one attempt; the original trace is attempt 0."""

    id: str
    attempt: int
    reason: str | None  # why it is rejected, one of the judge's; None if it is kept
    told: str  # the same in words for the writer
    tokens: int  # of the rewrite, without an end token
    source_tokens: int  # of the original trace


@dataclass
class Trace:
    """One problem and what became of its trace so far.

    Attributes:
        answers, verdicts: By attempt.
        failure: Why the last request of this process got no answer; it is not journalled.
    """

    problem: Problem
    answers: dict[int, Answer] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    failure: str | None = None

    def add(self, record: Answer | Verdict) -> None:
        if isinstance(record, Answer):
            self.answers[record.attempt] = record
        else:
            self.verdicts[record.attempt] = record

    @property
    def kept(self) -> Verdict | None:
        """The verdict that keeps it, if there is one."""
        return next((verdict for verdict in self.verdicts.values() if verdict.reason is None), None)

    @property
    def text(self) -> str | None:
        """The trace to train on; None unless it is kept."""
        if (verdict := self.kept) is None:
            return None
        return self.problem.trace if verdict.attempt == ORIGINAL else self.answers[verdict.attempt].text

    @property
    def unjudged(self) -> Answer | None:
        """An answer without a verdict, if there is one."""
        return next((self.answers[attempt] for attempt in self.answers.keys() - self.verdicts), None)

    @property
    def rejected(self) -> tuple[str, str] | None:
        """The last rewrite that was judged, and what its writer is told about it."""
        attempt = max(self.answers.keys() & self.verdicts, default=None)
        return None if attempt is None else (self.answers[attempt].text, self.verdicts[attempt].told)

    def is_open(self, attempts: int) -> bool:
        """True while an answer is to be judged or another one may be asked for."""
        return self.kept is None and (len(self.answers) < attempts or self.unjudged is not None)

    def reason(self) -> str | None:
        """The reason that there is no concise trace (yet); None if there is one."""
        if self.kept is not None:
            return None
        if self.unjudged is not None:
            return "not judged yet"
        if self.failure is not None or not self.answers:
            return "no answer"
        return self.verdicts[max(self.answers)].reason


class Journal:
    """The journal of one output folder, which only this process writes into; it is made by the first answer.

    Attributes:
        records: What it held when it was opened, in order.
        cut: Bytes of a torn last line that were cut.

    Raises:
        ConfigError: A line other than the last is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.records: list[Answer | Verdict] = []
        whole = self.path.read_bytes() if self.path.exists() else b""
        *lines, torn = whole.split(b"\n")  # what follows the last newline: nothing, in a file that is whole
        for number, line in enumerate(lines, start=1):
            try:
                self.records.append(_record(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError):
                if number < len(lines) or torn:
                    raise ConfigError(
                        f"{self.path}:{number}: not a line of this journal; take the file away (its answers "
                        "will be asked for again), or put it right"
                    ) from None
                torn = line + b"\n"  # a power failure can leave a last line of the right length
        self.cut = len(torn)
        if torn:
            os.truncate(self.path, len(whole) - len(torn))

    def add(self, record: Answer | Verdict) -> None:
        """Append a record; an answer is on the disk when this returns.

        Raises:
            ConfigError: It can't be written. The file is as it was before.
        """
        line = json.dumps({"kind": type(record).__name__.lower(), **asdict(record)})
        append_line(self.path, line, durable=isinstance(record, Answer))


def _record(raw: Any) -> Answer | Verdict:
    """A line of the journal as the record that it holds; raises TypeError, among others, if it is none."""
    record = {"answer": Answer, "verdict": Verdict}[raw.pop("kind")](**raw)
    for name, kind in _TYPES[type(record)].items():
        if not isinstance(getattr(record, name), kind):
            raise TypeError(name)
    return record


_TYPES = {record: get_type_hints(record) for record in (Answer, Verdict)}


def clean(text: str) -> str:
    """``text`` without surrounding white space, and without halves of surrogate pairs, which are no text."""
    return text.encode("utf-8", "replace").decode().strip()


def digest(problem: Problem) -> str:
    """A short hash of a problem's prompt, trace and answer."""
    text = "\x1f".join((problem.prompt, problem.trace, problem.answer))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

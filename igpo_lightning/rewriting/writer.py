"""Requests to a writer, the protocol of every writer, and its replies."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from igpo_lightning.checks import template
from igpo_lightning.types import Problem

TRUNCATED = "length"
"""The finish reason of an answer that was cut off at the token limit, as OpenAI's API names it."""

WORDS_PER_TOKEN = 0.5  # of mathematical English; writers count words better than another model's tokens
MAX_QUOTED_CHARS = 4000  # of a rejected rewrite, when it is shown to its writer

_FIELD = re.compile(r"\{(question|trace|answer|tokens|words|reason|rewrite)\}")


@dataclass(frozen=True)
class Ask:
    """One request to rewrite one trace.

    Attributes:
        id: The problem's id; with ``attempt`` (1, 2, …) the identity that random draws derive from.
        system: System message; None for none.
        user: User message.
    """

    id: str
    attempt: int
    system: str | None
    user: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """In the form of chat APIs and chat templates."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.user}]


@dataclass(frozen=True)
class Rules:
    """Templates with ``{question}``, ``{trace}``, ``{answer}``, ``{tokens}`` and ``{words}``.

    Attributes:
        user: The request.
        retry: Added to the request after a rejected rewrite; may also use ``{reason}`` and ``{rewrite}``.
        system: System message; null for none (some chat templates know no such role).

    Raises:
        ConfigError: A template lacks what it is for.
    """

    user: str
    retry: str
    system: str | None = None

    def __post_init__(self) -> None:
        template("rules.user", self.user, "{question}", "{trace}")
        template("rules.retry", self.retry, "{reason}")

    @property
    def sha256(self) -> str:
        """Hash of the three templates."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def ask(
        self, problem: Problem, tokens: int, attempt: int = 1, rejected: tuple[str, str] | None = None
    ) -> Ask:
        """The request for one trace.

        Args:
            tokens: How many the rewrite may have.
            rejected: The last rewrite of this trace and why it was not kept.
        """
        values = {
            "question": problem.prompt,
            "trace": problem.trace,
            "answer": problem.answer,
            "tokens": str(tokens),
            "words": str(max(1, int(tokens * WORDS_PER_TOKEN))),
        }

        def filled(text: str) -> str:
            # In one pass, so that braces of a problem's own text stay as they are.
            return _FIELD.sub(lambda match: values.get(match[1], match[0]), text).strip()

        user = filled(self.user)
        if rejected is not None:
            values |= {"rewrite": rejected[0][:MAX_QUOTED_CHARS], "reason": rejected[1]}
            user = f"{user}\n\n{filled(self.retry)}"
        return Ask(problem.id, attempt, None if self.system is None else filled(self.system), user)


@dataclass(frozen=True)
class Reply:
    """Text of a writer; token counts are None where it does not tell them."""

    text: str
    finish: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Unanswered(Exception):
    """A request got no answer, so nothing is journalled and the trace may be asked for again.

    Attributes:
        fatal: True if no other request can do better (wrong key, unknown model).
    """

    def __init__(self, message: str, fatal: bool = False) -> None:
        super().__init__(message)
        self.fatal = fatal


class Writer(Protocol):
    """Anything that answers asks.

    Attributes:
        concurrency: How many asks it wants at once.
        settings: What its answers depend on. Two writers with equal settings may share a journal.
    """

    concurrency: int
    settings: Mapping[str, Any]

    def prepare(self) -> None:
        """Load what is needed; raises ConfigError. Not called when there is nothing to ask."""

    async def turn(self, ask: Ask) -> None:
        """Return when a rate limit lets ``ask`` go. May be cancelled: nothing has been sent yet."""

    async def write(self, ask: Ask) -> Reply:
        """The answer to ``ask``; raises Unanswered after whatever retries the writer makes."""

    async def close(self) -> None:
        """Let go of connections."""

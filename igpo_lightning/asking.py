"""Requests to a language model, the protocol of whatever answers them, and its replies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

TRUNCATED = "length"
"""The finish reason of an answer that was cut off at the token limit, as OpenAI's API names it."""


@dataclass(frozen=True)
class Ask:
    """One request.

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
class Reply:
    """Text of a writer; token counts are None where it does not tell them."""

    text: str
    finish: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def said(self) -> str:
        """The text without the thoughts of a reasoning model, "" where they have no end.

        A server that has no parser for them hands them on; a chat template may have written the first tag.
        """
        _, closed, said = self.text.rpartition("</think>")
        return "" if not closed and self.text.lstrip().startswith("<think>") else said


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
        ...

    async def close(self) -> None:
        """Let go of connections."""

"""Format of a question to the model, and of the response that it asks for.

An experimental parameter, so it is named and hashed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.responses import AS_IT_IS, Response, check_layout, lay_out
from igpo_lightning.data.traces import FinalAnswer

QUESTION = "{question}"


@dataclass(frozen=True)
class PromptFormat:
    """The words around a question, before the tokenizer's chat template, and the layout of a response.

    Attributes:
        name: For records; two formats of the same words are the same format.
        system: System message; None for none.
        user: The user's message; every ``{question}`` in it is replaced by the question, and no other
            brace means anything.
        response: What ``user`` asks for, as a template: ``{trace}`` is the gold trace as it is,
            ``{reasoning}`` the trace without its final statement, ``{answer}`` the gold answer. It is the
            target of fine-tuning, and hints stand where their text stands in it.

    Raises:
        ConfigError: ``user`` has no place for the question, or ``response`` none for the trace.
    """

    name: str
    system: str | None = None
    user: str = QUESTION
    response: str = AS_IT_IS

    def __post_init__(self) -> None:
        if QUESTION not in self.user:
            raise ConfigError(f"prompt.user: it must contain {QUESTION}, where the question goes")
        check_layout("prompt.response", self.response)

    def ask(self, question: str) -> str:
        """The user's message for ``question``."""
        return self.user.replace(QUESTION, question)

    @property
    def changes_traces(self) -> bool:
        """True if a response is anything else than the trace as it is."""
        return self.response != AS_IT_IS

    def lay_out(self, trace: str, answer: str, final: FinalAnswer | None) -> Response:
        """The response that is asked for, of a trace whose final answer is known to be at ``final``."""
        return lay_out(self.response, trace, answer, final)

    @property
    def sha256(self) -> str:
        """Hex digest of the words of the prompt alone, whatever the name."""
        return hashlib.sha256(json.dumps([self.system, self.user]).encode()).hexdigest()


PLAIN = PromptFormat("plain")
"""The question as it is."""

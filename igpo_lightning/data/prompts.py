"""How a question is put to the model: an experimental parameter, so it is named and hashed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from igpo_lightning.checks import ConfigError

QUESTION = "{question}"


@dataclass(frozen=True)
class PromptFormat:
    """The words around a question, before the tokenizer's chat template.

    Attributes:
        name: For records; two formats of the same words are the same format.
        system: System message; None for none.
        user: The user's message; every ``{question}`` in it is replaced by the question, and no other
            brace means anything.

    Raises:
        ConfigError: ``user`` has no place for the question.
    """

    name: str
    system: str | None = None
    user: str = QUESTION

    def __post_init__(self) -> None:
        if QUESTION not in self.user:
            raise ConfigError(f"prompt.user: it must contain {QUESTION}, where the question goes")

    def ask(self, question: str) -> str:
        """The user's message for ``question``."""
        return self.user.replace(QUESTION, question)

    @property
    def sha256(self) -> str:
        """Hex digest of the words alone, whatever the name."""
        return hashlib.sha256(json.dumps([self.system, self.user]).encode()).hexdigest()


PLAIN = PromptFormat("plain")
"""The question as it is."""

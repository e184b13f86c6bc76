"""Requests to rewrite a trace."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass

from igpo_lightning.asking import Ask
from igpo_lightning.checks import template
from igpo_lightning.types import Problem

WORDS_PER_TOKEN = 0.5  # of mathematical English; writers count words better than another model's tokens
MAX_QUOTED_CHARS = 4000  # of a rejected rewrite, when it is shown to its writer

_FIELD = re.compile(r"\{(question|trace|answer|tokens|words|reason|rewrite)\}")


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

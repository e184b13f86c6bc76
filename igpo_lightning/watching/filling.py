"""A completion on the host, while it is filled and when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from .. import console
from ..completing import Asked
from ..sampling.steps import Step


@dataclass
class Filling:
    """A completion of C columns, as far as it has been filled.

    Attributes:
        asked: The question and its hint.
        tokens: C ids; the mask token's where nothing stands yet.
        mask_id: That token.
        hint: C flags, True where the hint gave the token.
        steps: C numbers of the step that wrote the token, as in a step map; -1 where none did.
        probabilities: C probabilities that the model gave the token when it was written; 1 for hints.
        forwards: Steps so far, each of which is one call of the model for this row.
        text: Of the whole completion, up to its end.
        seconds: Of the call that it was sampled in, which may have held others.
        correct: Whether it states the right answer; None where that is not known.
    """

    asked: Asked
    tokens: list[int]
    mask_id: int
    hint: list[bool] = field(init=False)
    steps: list[int] = field(init=False)
    probabilities: list[float] = field(init=False)
    forwards: int = 0
    text: str = ""
    seconds: float = 0.0
    correct: bool | None = None

    def __post_init__(self) -> None:
        self.hint = [token != self.mask_id for token in self.tokens]
        self.steps = [-1] * len(self.tokens)
        self.probabilities = [float(hint) for hint in self.hint]

    @property
    def filled(self) -> int:
        """Columns that a step has filled."""
        return sum(step >= 0 for step in self.steps)

    @property
    def sureness(self) -> float | None:
        """Mean probability of these columns; None as long as there is none."""
        sure = [p for p, step in zip(self.probabilities, self.steps, strict=True) if step >= 0]
        return sum(sure) / len(sure) if sure else None

    def cut(self, stop_ids: Sequence[int]) -> int:
        """Columns up to and including the first token that ends a completion; all if none does."""
        ends = (i for i, token in enumerate(self.tokens) if token in stop_ids)
        return next(ends, len(self.tokens) - 1) + 1

    def record(self, stop_ids: Sequence[int]) -> dict[str, Any]:
        """The completion as a line of JSON holds it; lists are cut at its end."""
        end = self.cut(stop_ids)
        return {
            "prompt": self.asked.prompt,
            "hint": self.asked.hint,
            "completion": self.text,
            "answer": self.asked.answer,
            "correct": self.correct,
            "tokens": self.tokens[:end],
            "step_map": self.steps[:end],
            "hint_mask": self.hint[:end],
            "probabilities": [round(p, 6) for p in self.probabilities[:end]],
            "seconds": round(self.seconds, 4),
            "forwards": self.forwards,
        }


def take(fillings: Sequence[Filling], step: Step) -> None:
    """Write a step into the completions of its rows."""
    parts = (step.rows, step.written, step.ids, step.probability)
    for row, written, ids, probabilities in zip(*(part.tolist() for part in parts), strict=True):
        filling = fillings[row]
        filling.forwards += 1
        for column, (now, token, probability) in enumerate(
            zip(written, ids, probabilities, strict=True), start=step.columns.start
        ):
            if now:
                filling.tokens[column], filling.steps[column] = token, step.index
                filling.probabilities[column] = probability


class Pieces:
    """Text of single tokens, with the space that its tokenizer puts before it.

    Tokenizers differ in where a space is kept, so each token is decoded behind another one. A letter of
    several tokens comes out as replacement characters; the text of a whole completion has it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._before = tokenizer.eos_token_id
        self._length = len(tokenizer.decode([self._before]))
        self.of = lru_cache(maxsize=None)(self._of)

    def _of(self, token: int) -> str:
        return self.tokenizer.decode([self._before, token])[self._length :]


def printable(text: str) -> str:
    """The text without control characters, with blanks for tabs, whose width a terminal decides."""
    return console.printable(text.replace("\t", "    "))

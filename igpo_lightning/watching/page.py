"""A page that shows completions being filled, by a slider over the steps; it loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pages import write_template
from .filling import Filling, Pieces


@dataclass(frozen=True)
class Token:
    """A token of the page.

    Attributes:
        text: As it stands in the completion.
        step: The step that wrote it, counted from 1 over those that wrote anything; 0 for what was given.
        hint: Whether it was a hint.
        at: The step's place from 0 (first) to 1 (last), for the colour.
        said: Of it in words.
    """

    text: str
    step: int
    hint: bool
    at: float
    said: str


@dataclass(frozen=True)
class Shown:
    """A completion of the page."""

    prompt: str
    hint: str | None
    tokens: list[Token]
    steps: int


def shown(filling: Filling, pieces: Pieces, stop_ids: Sequence[int]) -> Shown:
    """A completion as the page shows it, up to its end."""
    end = filling.cut(stop_ids)
    order = {step: i for i, step in enumerate(sorted({s for s in filling.steps[:end] if s >= 0}), start=1)}
    tokens = []
    for i in range(end):
        step = order.get(filling.steps[i], 0)
        said = "hint" if filling.hint[i] else f"step {step}, probability {filling.probabilities[i]:.3f}"
        at = (step - 1) / max(1, len(order) - 1) if step else 0.0
        tokens.append(Token(pieces.of(filling.tokens[i]), step, filling.hint[i], round(at, 3), said))
    return Shown(filling.asked.prompt, filling.asked.hint, tokens, len(order))


def write_page(
    path: Path, fillings: Sequence[Filling], pieces: Pieces, stop_ids: Sequence[int], title: str = "Denoising"
) -> None:
    """Write the page of these completions; all their text is escaped."""
    rows = [shown(filling, pieces, stop_ids) for filling in fillings]
    write_template(path, "watching", "denoising.html", title=title, rows=rows)

"""A completion as a person reads it. Imports no torch, so that reports are made without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class SampleRecord:
    """One sampled completion: for sample tables and files.

    Attributes:
        answer: The gold one.
        pieces: (text, is_hint) runs whose concatenation is the completion.
        trace: The gold one.
        advantage: Of the completion, if it has one for all its tokens.
        tokens: Its tokens as text; their concatenation is the completion, too.
        columns: Name → a number for each token: "step" (of a step map), "hint" and "kept" (whether it carries
            gradient), "probability" (when it was drawn, at temperature 1; 0 where none was),
            "old_logp" and "ref_logp" (means over the draws that score it), where there are any.
    """

    rollout: int
    prompt: str
    answer: str
    pieces: Sequence[tuple[str, bool]]
    reward: float
    correct: bool
    inpainted: bool
    trace: str = ""
    advantage: float | None = None
    tokens: Sequence[str] = ()
    columns: Mapping[str, Sequence[float]] = field(default_factory=dict, hash=False)

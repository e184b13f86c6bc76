"""A page that shows completions being filled, by a slider over the steps; it loads nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..pages import packed, write_template
from .filling import Filling, Pieces


def viewed(filling: Filling, pieces: Pieces, stop_ids: Sequence[int]) -> dict[str, Any]:
    """A completion up to its end, as the viewer takes it: texts of tokens, and a number of each by name."""
    end = filling.cut(stop_ids)
    columns = {
        "step": filling.steps[:end],
        "hint": [int(hint) for hint in filling.hint[:end]],
        "probability": [round(probability, 3) for probability in filling.probabilities[:end]],
    }
    return {"tokens": [pieces.of(token) for token in filling.tokens[:end]], "columns": columns}


def write_page(path: Path, fillings: Sequence[Filling], pieces: Pieces, stop_ids: Sequence[int]) -> None:
    """Write the page of these completions; all their text is escaped."""
    samples = [viewed(filling, pieces, stop_ids) for filling in fillings]
    rows = [
        (filling.asked, "".join(sample["tokens"])) for filling, sample in zip(fillings, samples, strict=True)
    ]
    data = packed({"samples": samples})
    write_template(path, "watching", "denoising.html", title="Denoising", rows=rows, data=data, library=None)

"""A moving picture of completions being filled: an SVG without script, as a README can hold it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from colorsys import hls_to_rgb
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..pages import write_template
from .filling import Filling, Pieces, printable
from .terminal import UNSURE_BELOW, Glyph, cells_of, wrapped

MOST = 4  # completions of a picture
WIDTH, MARGIN = 640, 20
_CELL, _HIGH, _ROW = 10, 28, 38  # pixels of a letter's width, a token's height, and from row to row
_LINE = 22  # from one line of text to the next
_LONGEST = 20  # cells of a token's or an answer's text
_PROMPT_LINES = 4
_BEGINNING, _END = 1.0, 4.0  # seconds that the canvas is shown as it is given, and as it ends
_BEAT, _ALL_BEATS = 0.6, 10.0  # seconds from step to step, and of all steps, at most
_LIGHT, _DARK = 0.84, 0.27  # lightness of tokens, by the colours of the page


@dataclass(frozen=True)
class Box:
    """A token on the picture, in pixels.

    Attributes:
        step: 0 for what stood there from the start, else which of the completion's steps wrote it.
        end: Whether it ends the completion.
        unsure: Whether the model gave it less than 50 %.
    """

    text: str
    x: int
    y: int
    width: int
    step: int
    end: bool
    unsure: bool

    @property
    def kind(self) -> str:
        return " ".join(["given"] * (self.step == 0) + ["end"] * self.end)

    @property
    def path(self) -> str:
        return f"M{self.x} {self.y}h{self.width}v{_HIGH}h-{self.width}z"

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    @property
    def baseline(self) -> int:
        return self.y + 20

    @property
    def underline(self) -> str:
        return f"M{self.x + 4} {self.y + _HIGH - 2}h{self.width - 8}"


def write_svg(path: Path, fillings: Sequence[Filling], pieces: Pieces, stop_ids: Sequence[int]) -> None:
    """Write the picture of the first :data:`MOST` completions; all their text is escaped.

    What a step wrote appears at its turn, in a loop. Where no motion is wanted, or none is drawn, the
    completions stand there as they ended.
    """
    canvases, y, prompt = [], MARGIN, None
    for one in fillings[:MOST]:
        again, prompt = one.asked.prompt == prompt, one.asked.prompt
        canvases.append(_canvas(one, pieces, stop_ids, y, again))
        y = canvases[-1]["bottom"]
    steps = max((canvas["steps"] for canvas in canvases), default=0)
    hinted = any(canvas["hinted"] for canvas in canvases)
    unsure = any(box.unsure for canvas in canvases for box in canvas["boxes"])
    key = [1 + i * (steps - 1) // 4 for i in range(5)] if steps else []  # steps whose colours are explained
    write_template(
        path, "watching", "denoising.svg",
        canvases=canvases, width=WIDTH, margin=MARGIN, height=y + 44, legend=y + 10, hinted=hinted,
        unsure=unsure, key=key, timing=_timing(steps), light=_ramp(steps, _LIGHT), dark=_ramp(steps, _DARK),
    )  # fmt: skip


def _canvas(filling: Filling, pieces: Pieces, stop_ids: Sequence[int], y: int, again: bool) -> dict[str, Any]:
    """One completion from ``y`` downwards, without the prompt if it stands there ``again``."""
    asked, columns = filling.asked, (WIDTH - 2 * MARGIN) // _CELL
    lines = [] if again else _lines(asked.prompt, columns)
    title = y + (len(lines) + 1) * _LINE + (4 if lines else -4)
    boxes = list(_boxes(filling, pieces, stop_ids, title + 12))
    steps = max((box.step for box in boxes), default=0)
    return {
        "lines": [(y + (i + 1) * _LINE - 6, line) for i, line in enumerate(lines)],
        "title": title,
        "hinted": asked.hint is not None,
        "boxes": boxes,
        "steps": steps,
        "verdict": _verdict(filling, steps),
        "correct": filling.correct,
        "text": " ".join([printable(asked.prompt), *(box.text for box in boxes if not box.end)]),
        "bottom": max((box.y for box in boxes), default=title) + _HIGH + 14,
    }


def _boxes(filling: Filling, pieces: Pieces, stop_ids: Sequence[int], y: int) -> Iterator[Box]:
    """The tokens up to the end, in rows from ``y`` downwards."""
    x = left = MARGIN + 2
    for i, step in enumerate(_order(filling, stop_ids)):
        token = filling.tokens[i]
        piece = printable(pieces.of(token))
        text = "end" if (end := token in stop_ids) else _cut(piece.strip(" ").replace("\n", "⏎"))
        width = max(1, cells_of(text)) * _CELL + 12
        gap = 0 if x == left else 8 if end or piece.startswith(" ") else 4
        if x + gap + width > WIDTH - left:
            x, y, gap = left, y + _ROW, 0
        yield Box(text, x + gap, y, width, step, end, step > 0 and filling.probabilities[i] < UNSURE_BELOW)
        x += gap + width
        if "\n" in piece:
            x, y = left, y + _ROW


def _order(filling: Filling, stop_ids: Sequence[int]) -> list[int]:
    """Of each token up to the end, which of the steps that are seen wrote it, from 1; 0 for none."""
    steps = filling.steps[: filling.cut(stop_ids)]
    places = {step: i for i, step in enumerate(sorted({step for step in steps if step >= 0}), 1)}
    return [places.get(step, 0) for step in steps]


def _verdict(filling: Filling, steps: int) -> str | None:
    if filling.correct is None:
        return None
    answer = _cut(printable(filling.asked.answer or ""))
    said = "right" if filling.correct else f"wrong, the answer is {answer}"
    return f"{steps} step{'s' * (steps != 1)}: {said}"


def _timing(steps: int) -> dict[str, Any]:
    """Seconds of a loop; percents of it, for each step and the verdict: unseen until, seen from."""
    beat = min(_BEAT, _ALL_BEATS / max(1, steps))
    loop = _BEGINNING + (steps + 1) * beat + _END
    starts = [_BEGINNING + i * beat for i in range(steps + 1)]
    percents = [(100 * start / loop, 100 * (start + min(0.2, beat / 2)) / loop) for start in starts]
    return {"loop": round(loop, 2), "steps": [(round(a, 2), round(b, 2)) for a, b in percents]}


def _ramp(steps: int, light: float) -> list[str]:
    """A colour for each step, from blue to orange."""
    shares = (i / max(1, steps - 1) for i in range(steps))
    colours = (hls_to_rgb((215 - 175 * share) / 360, light, 0.75) for share in shares)
    return ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in colours]


def _lines(text: str, columns: int) -> list[str]:
    words = (Glyph(word) for word in re.findall(r"\s*\S+", printable(text).strip()))
    lines = wrapped(words, columns)
    return lines if len(lines) <= _PROMPT_LINES else [*lines[: _PROMPT_LINES - 1], "…"]


def _cut(text: str) -> str:
    return text if cells_of(text) <= _LONGEST else text[: _LONGEST // 2 - 1] + "…"

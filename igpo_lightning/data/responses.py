"""A gold trace as the response that a prompt asks for, and where the trace stands in it.

The prompt's words, the target of fine-tuning, the hints and a reward for the format speak of one layout:
``<reasoning>`` … ``</reasoning><answer>\\boxed{…}</answer>``, for example. A layout is a template with the
places ``{trace}``, the trace as it is, or ``{reasoning}``, the trace without its final statement, and
``{answer}``, the gold answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.traces import FinalAnswer, Span
from igpo_lightning.rewards.boxes import wrappers

AS_IT_IS = "{trace}"
_PLACE = re.compile(r"\{(trace|reasoning|answer)\}")
_CLOSES = r"(?:[\"')\]*$}]|\\[\])]|\\end\{[a-z]+\*?\}|\s)*\Z"
_ENDS_A_SENTENCE = re.compile(rf"(?:[.!?]|\\\]|\\end\{{[a-z]+\*?\}}){_CLOSES}")
_LAST_CHARS = 100  # where a sentence ends is seen from its last ones
_OPENING = (("\\[", "\\]"), ("\\(", "\\)"), ("\\begin{", "\\end{"))


@dataclass(frozen=True)
class Response:
    """A laid-out trace.

    Attributes:
        text: All of it.
        start: Where the trace begins in it.
        end: How many of the trace's first characters are in it, less those that are ``removed``.
        removed: [begin, end) of the trace; sorted, and not overlapping.
    """

    text: str
    start: int
    end: int
    removed: tuple[Span, ...] = ()

    def at(self, place: int) -> int:
        """Index in ``text`` of character ``place`` of the trace, or of what is left beside it."""
        return (
            self.start + place - sum(min(end, place) - begin for begin, end in self.removed if begin < place)
        )

    def place(self, final: FinalAnswer) -> FinalAnswer:
        """The final answer of the trace in characters of ``text``; where the trace ends, hints do."""
        spans = tuple((self.at(begin), self.at(end)) for begin, end in final.spans)
        return replace(final, start=self.at(min(final.start, self.end)), spans=spans)


def check_layout(name: str, template: str) -> str:
    """``template``, if it has one place for the trace, and none that is unknown."""
    places = _PLACE.findall(template)
    traces = [place for place in places if place != "answer"]
    if len(traces) != 1:
        raise ConfigError(f"{name}: it must contain {{trace}} or {{reasoning}}, once; it has {len(traces)}")
    if "answer" in places[: places.index(traces[0])]:
        raise ConfigError(f"{name}: {{answer}} must come after {{{traces[0]}}}: a response reasons first")
    return template


def lay_out(template: str, trace: str, answer: str, final: FinalAnswer | None) -> Response:
    """``trace`` and ``answer`` in their places.

    A trace that has the template's words already stays as it is, and so does one without any text.

    Args:
        template: As :func:`check_layout` lets it pass.
        final: Where the trace says its answer; None if it is not known.
    """
    if template == AS_IT_IS or not trace.strip():
        return Response(trace, 0, len(trace))
    if (end := _laid_out_already(template, trace)) is not None:
        return Response(trace, 0, end)
    end, removed = len(trace), ()
    if "{reasoning}" in template:
        end = _end_of_reasoning(trace, final)
        removed = tuple(sorted(mark.span() for wrapper in wrappers(trace[:end]) for mark in wrapper))
    pieces = zip((0, *(stop for _, stop in removed)), (*(begin for begin, _ in removed), end), strict=True)
    kept = "".join(trace[begin:stop] for begin, stop in pieces)
    texts = {"trace": kept, "reasoning": kept, "answer": answer}
    before = _PLACE.split(template)[0]
    text = _PLACE.sub(lambda place: texts[place[1]], template)  # in one pass: braces of a trace stay
    return Response(text, len(before), end, removed)


def _end_of_reasoning(trace: str, final: FinalAnswer | None) -> int:
    """So many characters of ``trace`` stay when its final statement is put away.

    A sentence or a line of its own goes, with all that follows. One that is a part of a sentence or a
    formula stays: without its box, ``so $x=\\boxed{5}$.`` is still a sentence.
    """
    whole = len(trace.rstrip())
    if final is None:
        return whole
    before, statement = trace[: final.start], trace[final.start :]
    head = before.rstrip()
    ends = "\n" in before[len(head) :] or _ENDS_A_SENTENCE.search(head[-_LAST_CHARS:])
    own = not head or ends or statement[:1].isupper()
    if statement.startswith("####") or (own and not _inside_a_formula(head)):
        return len(head)
    return whole


def _inside_a_formula(text: str) -> bool:
    dollars = text.replace("\\$", "").count("$")
    return dollars % 2 == 1 or any(text.count(left) > text.count(right) for left, right in _OPENING)


def _laid_out_already(template: str, trace: str) -> int | None:
    """Where the trace's own reasoning ends, if the words of ``template`` stand in it in their order."""
    words = [word.strip() for word in _PLACE.sub("\0", template).split("\0")]
    at, ends = 0, []
    for word in filter(None, words):
        found = trace.find(word, at)
        if found < 0:
            return None
        ends.append(found)
        at = found + len(word)
    if not ends:
        return None
    return ends[1] if words[0] and len(ends) > 1 else ends[0]

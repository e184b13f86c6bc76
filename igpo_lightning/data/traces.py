"""Gold traces as hints: where the final answer stands, and the tokens that do not tell it.

A hint must contain no token that tells the final answer, wherever it stands: a completion that copies the
answer from its hints would be rewarded for nothing. So the final statement is cut off, as the reward finds
it, and every other mention of the answer, or of a part of it, is masked; see
:mod:`igpo_lightning.data.mentions`. Where in doubt a token is masked: a lost hint token costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.mentions import Span, mentions, merged
from igpo_lightning.rewards.answers import Statement, statements
from igpo_lightning.rewards.verify import Verifier


class AnswerNotFound(ConfigError):
    """A trace does not end in a statement of its answer."""


@dataclass(frozen=True)
class FinalAnswer:
    """Places of the final answer in a trace, in characters.

    Attributes:
        start: First character of the final statement; from here on the trace is no hint.
        spans: Every [begin, end) that mentions the answer, the final statement's included; sorted,
            and not overlapping.
    """

    start: int
    spans: tuple[Span, ...]


def answer_spans(trace: str, answer: str, verifier: Verifier | None = None) -> FinalAnswer:
    """Find the final statement of ``trace`` and everything in it that tells ``answer``.

    The statement is the last one that the reward finds; a trace without any may end in "= x".

    Args:
        trace: The reasoning with its answer.
        answer: The gold answer.
        verifier: Says whether what is stated is the answer; by default one that all callers share.

    Raises:
        AnswerNotFound: There is no statement, or it says something else than ``answer``.
    """
    verifier = verifier or _shared_verifier()
    found = statements(trace)
    final = _final(found, trace, answer, verifier)
    said = [(s.start, s.end) for s in found[:-1] if verifier.equal(s.answer, answer)]
    return replace(final, spans=merged([*said, *final.spans, *mentions(trace, answer, verifier)]))


def final_statement(trace: str, answer: str, verifier: Verifier | None = None) -> FinalAnswer:
    """Find the final statement of ``trace`` alone: as :func:`answer_spans`, at a tenth of its time.

    Returns:
        With the statement as its only span.

    Raises:
        AnswerNotFound: There is no statement, or it says something else than ``answer``.
    """
    return _final(statements(trace), trace, answer, verifier or _shared_verifier())


@cache
def _shared_verifier() -> Verifier:
    return Verifier()


def mask_answer(
    ids: Sequence[int], offsets: Sequence[Span], final: FinalAnswer, mask_id: int
) -> tuple[int, ...]:
    """``ids`` up to the final statement; a token that shares a character with a mention is masked."""
    hint: list[int] = []
    for token, (begin, end) in zip(ids, offsets, strict=True):
        if end > final.start:
            break
        told = any(begin < span_end and span_begin < end for span_begin, span_end in final.spans)
        hint.append(mask_id if told else token)
    return tuple(hint)


# ---------------------------------------------------------------- the final statement


def _final(found: Sequence[Statement], trace: str, answer: str, verifier: Verifier) -> FinalAnswer:
    """The last of the statements ``found`` in ``trace``, or its last "= x" if there is none."""
    if found and verifier.equal(found[-1].answer, answer):
        return FinalAnswer(found[-1].start, ((found[-1].start, found[-1].end),))
    equals = trace.rfind("=")
    if not found and equals >= 0 and verifier.equal(trace[equals + 1 :].strip(" .$\n"), answer):
        return FinalAnswer(equals, ((equals, len(trace)),))
    said = f"says {_short(found[-1].answer)} last" if found else "has no final answer"
    raise AnswerNotFound(
        f"the trace {said}, but the answer is {_short(answer)}: a trace must end in '#### {answer[:40]}', "
        f"'The answer is {answer[:40]}.', '\\boxed{{{answer[:40]}}}' or '= {answer[:40]}'"
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")

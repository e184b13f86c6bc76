"""Gold traces as hints: where the final answer stands, and the tokens that do not tell it.

A hint must contain no token of the final answer, wherever it stands: a completion that copies the
answer from its hints would be rewarded for nothing. So the final statement is cut off, and every other
mention of the answer is masked. A mention is a whole number of the same absolute value ("1,000" and
"1000.0" are mentions of 1000, "172" and "7.2" are none of 72), a fraction of the same value if the
answer is one, or for other answers the same text up to spacing and LaTeX variants. Where in doubt a
token is masked: a lost hint token costs little. Numbers spelled as words are not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from transformers import PreTrainedTokenizerBase

from igpo_lightning.checks import ConfigError
from igpo_lightning.rewards.answers import statements

Span = tuple[int, int]


class AnswerNotFound(ConfigError):
    """A trace does not end in a statement of its answer."""


@dataclass(frozen=True)
class FinalAnswer:
    """Where a trace says its answer, in characters.

    Attributes:
        start: First character of the final statement; from here on the trace is no hint.
        spans: Every [begin, end) that mentions the answer, the final statement's included; sorted,
            and not overlapping.
    """

    start: int
    spans: tuple[Span, ...]


def answer_spans(trace: str, answer: str) -> FinalAnswer:
    """Find the final statement of ``trace`` and every mention of ``answer`` in it.

    The statement is the last of ``#### x``, "the answer is x" and ``\\boxed{x}``, or else "= x" at the
    very end.

    Raises:
        AnswerNotFound: There is none, or it says something else than ``answer``.
    """
    start, stated = _final_statement(trace, answer)
    spans = [stated, *_mentions(trace, answer)]
    spans += [(s.start, s.end) for s in statements(trace) if _same(s.answer, answer)]
    return FinalAnswer(start, _merged(spans))


def hint_ids(trace: str, answer: str, tokenizer: PreTrainedTokenizerBase, mask_id: int) -> tuple[int, ...]:
    """Token ids of the trace before its final statement, ``mask_id`` wherever the answer is told.

    Position i is position i of the tokenization of the whole trace.

    Raises:
        AnswerNotFound: See :func:`answer_spans`.
        ConfigError: The tokenizer knows no character offsets.
    """
    [(ids, offsets)] = tokenize([trace], tokenizer)
    return mask_answer(ids, offsets, answer_spans(trace, answer), mask_id)


def tokenize(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[tuple[tuple[int, ...], list[Span]]]:
    """(token ids, characters each one covers) of every text; no special tokens are added."""
    if not tokenizer.is_fast:
        raise ConfigError(
            "data.tokenizer: a fast tokenizer is needed (one with tokenizer.json), for hints are cut by "
            "character offsets"
        )
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [
        (tuple(ids), [(begin, end) for begin, end in offsets])
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    ]


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

_LEAD_IN = re.compile(
    r"(?:\bthe\s{1,3})?(?:\bfinal\s{1,3})?\banswer(?:\s{1,3}is)?\s{0,3}:?\s{0,3}\$*\Z", re.I
)
_LEAD_IN_CHARS = 40


def _final_statement(trace: str, answer: str) -> tuple[int, Span]:
    """(start of the statement with the words that lead to it, what is stated)."""
    found = statements(trace)
    equals = trace.rfind("=")
    if found:
        last = found[-1]
        # An abbreviation ("4 sq. ft") may end a phrase too early, so its whole rest is tried as well.
        if _same(last.answer, answer) or (last.kind == "phrase" and _says(trace[last.start :], answer)):
            before = trace[max(0, last.start - _LEAD_IN_CHARS) : last.start]
            lead_in = _LEAD_IN.search(before)
            start = last.start - (len(before) - lead_in.start() if lead_in else 0)
            return start, (last.start, len(trace) if last.kind == "phrase" else last.end)
    if equals >= 0 and _same(trace[equals + 1 :], answer):
        return equals, (equals + 1, len(trace))
    said = f"says {found[-1].answer!r} last" if found else "has no final answer"
    raise AnswerNotFound(
        f"the trace {said}, but the answer is {answer!r}: a trace must end in '#### {answer}', "
        f"'The answer is {answer}.', '\\boxed{{{answer}}}' or '= {answer}'"
    )


def _says(statement: str, answer: str) -> bool:
    """True if a phrase such as "the answer is 4 sq. ft." says ``answer``, or the last one of several."""
    rest = re.split(r"\banswer\s{1,3}is\b", statement, flags=re.I)[-1]
    return _same(rest.lstrip(": "), answer)


# ---------------------------------------------------------------- one spelling for one answer

_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mbox|mathrm|mathbf)\s*\{([^{}]*)\}")
_NOISE = re.compile(
    r"\\left\b|\\right\b|(?<!\\)\\[!,;: ]|\{,\}|\\?[$%]|\^\s*\\circ|\^\s*\{\s*\\circ\s*\}|\s|~"
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BARE_FRACTION = re.compile(r"\\frac(?:(\d)|\{([^{}]*)\})(?:(\d)|\{([^{}]*)\})")
_UNIT = re.compile(r"(?<=[\d}])[A-Za-z][A-Za-z.^\d]*$")
_ASSIGNED = re.compile(r"^(?:\\?[A-Za-z]+=|\\approx)")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_RATIO = re.compile(r"([+-]?)\\frac\{([+-]?\d+)\}\{(\d+)\}|([+-]?\d+)/(\d+)")
_MAX_CHARS = 60  # no longer text is read as a number


def _same(stated: str, answer: str) -> bool:
    """True if both are one answer, up to spacing, units of money and degree, and LaTeX variants."""
    left, right = _canonical(stated), _canonical(answer)
    if left == right:
        return bool(right)
    value = _number(left)
    return value is not None and value == _number(right)


def _canonical(text: str) -> str:
    text = _TEXT.sub(r"\1", text)
    text = _NOISE.sub("", text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("−", "-"))
    text = _THOUSANDS.sub("", text)
    text = _BARE_FRACTION.sub(lambda m: f"\\frac{{{m[1] or m[2]}}}{{{m[3] or m[4]}}}", text)
    return text.strip().rstrip(".")


def _number(canonical: str) -> Fraction | None:
    """The value of a decimal or a fraction of whole numbers, else None."""
    if len(canonical) > _MAX_CHARS:
        return None
    if _DECIMAL.fullmatch(canonical):
        return Fraction(canonical)
    if match := _RATIO.fullmatch(canonical):
        sign, top, bottom, plain_top, plain_bottom = match.groups()
        below = int(bottom or plain_bottom)
        value = Fraction(int(top or plain_top), below) if below else None
        return -value if value is not None and sign == "-" else value
    return None


def _quantity(answer: str) -> Fraction | None:
    """The absolute value of a numeric answer, whatever its sign, unit or name ("x = -3", "8 cm")."""
    canonical = _ASSIGNED.sub("", _canonical(answer))
    value = _number(canonical)
    if value is None and len(canonical) <= _MAX_CHARS:
        value = _number(_UNIT.sub("", canonical))
    return None if value is None else abs(value)


# ---------------------------------------------------------------- mentions

_NUMERAL = re.compile(r"\d{1,3}(?:(?:,\\!|\{,\}|\\,|,)\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+")
_FRACTION = re.compile(
    r"\\[dt]?frac\s{0,3}(?:\{\s{0,3}[+-]?\s{0,3}(\d+)\s{0,3}\}|(\d))\s{0,3}(?:\{\s{0,3}(\d+)\s{0,3}\}|(\d))"
    r"|(\d+)\s{0,3}/\s{0,3}(\d+)"
)
_SEPARATORS = re.compile(r"[^\d.]")
_PIECE = re.compile(r"\\[A-Za-z]+|\\.|\d|[A-Za-z]+|[^\s{}]")
_GLUE = r"(?:\s|\\[!,;: ]|\\left\b|\\right\b|\\(?:text|mbox|mathrm)\b|[{}$])*"


def _mentions(trace: str, answer: str) -> Iterator[Span]:
    if _number(_canonical(answer)) is None:
        yield from (match.span() for match in _literal(answer).finditer(trace))
    value = _quantity(answer)
    if value is None:
        return
    negative = "-" in _canonical(answer)
    for match in _NUMERAL.finditer(trace):
        digits = _SEPARATORS.sub("", match[0])
        # ".25" may be a fraction, or the full stop of a sentence and the next one's 25.
        if len(digits) <= _MAX_CHARS and value in (Fraction(digits), Fraction(digits.lstrip("."))):
            signed = negative and trace[match.start() - 1 : match.start()] in ("-", "−")
            yield match.start() - signed, match.end()
    if value.denominator > 1:  # 6/2 is a calculation, not a mention of 3
        for match in _FRACTION.finditer(trace):
            top, bottom = (int(part[-_MAX_CHARS:]) for part in match.groups() if part is not None)
            if bottom and Fraction(top, bottom) == value:
                yield match.span()


def _literal(answer: str) -> re.Pattern[str]:
    """A pattern for ``answer`` as a whole, free in spacing, braces and LaTeX sizes."""
    text = _NOISE.sub(" ", _TEXT.sub(r"\1", answer)).strip().rstrip(".")
    pieces = _PIECE.findall(text)
    if not pieces:
        return re.compile(r"(?!)")  # nothing can mention an empty answer
    patterns = [r"\\[dt]?frac" if p in ("\\frac", "\\dfrac", "\\tfrac") else re.escape(p) for p in pieces]
    first, last = pieces[0], pieces[-1]
    before = r"(?<![A-Za-z\d\\])" if first[0].isalnum() else ""
    after = r"(?![A-Za-z\d])" if last[-1].isalnum() else ""
    closing = r"\}*" if text.endswith("}") else ""
    return re.compile(before + _GLUE.join(patterns) + after + closing)


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)

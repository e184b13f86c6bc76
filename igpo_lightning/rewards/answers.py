"""Where a completion states its final answer.

Four ways of saying it are known, strongest first: ``\\boxed{x}`` (or ``\\fbox{x}``),
``<answer>x</answer>``, ``#### x`` and "the answer is x". The *last* statement counts: models box
intermediate results, and sampling may correct itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_ANSWER_CHARS = 300
"""Longer answers are cut: they are never right, and parsing them is where time is lost."""

_BOX_TOKEN = re.compile(r"\\f?box(?:ed)?\s*\{|\\.|[{}]", re.DOTALL)
_TAG = re.compile(r"<answer>(?P<answer>(?:(?!</?answer>).)+)</answer>", re.DOTALL)
_HASHES = re.compile(r"(?<!#)####[ \t]*(?P<answer>[^\s#][^\n]*)")
_PHRASE = re.compile(
    r"\bthe (?:final )?answer is[ \t]*:?[ \t]*(?P<answer>[^\s:][^\n]*?)(?=\.\s|\.?$)", re.I | re.M
)
_SPECIAL_TOKEN = re.compile(  # and the tags of prompt formats
    r"<\|[^<>|]*\|>|</?s>|<(?:eos|bos|pad|mask)>|\[(?:EOS|PAD|MASK)\]|</?(?:answer|reasoning)>", re.I
)
_CLOSING = re.compile(r"(?:[\s.$]|\\[\])])*")

KINDS = ("box", "tag", "hashes", "phrase")
"""Kinds of statements, strongest first."""


@dataclass(frozen=True)
class Statement:
    """One final-answer statement: ``text[start:end]`` of the completion says ``answer``."""

    kind: str  # one of KINDS
    answer: str
    start: int
    end: int


def extract(completion: str) -> str | None:
    """The final answer of ``completion``, at most 300 characters; None if it states none."""
    found = statements(completion)
    for kind in KINDS:
        answers = [statement.answer for statement in found if statement.kind == kind]
        if answers:
            return answers[-1]
    return None


def statements(completion: str) -> list[Statement]:
    """All final-answer statements in order; "<answer>\\boxed{72}</answer>" is one statement, the box."""
    found = _boxes(completion)
    for kind, pattern in (("hashes", _HASHES), ("phrase", _PHRASE), ("tag", _TAG)):
        for match in pattern.finditer(completion):
            statement = _line_statement(kind, match)
            if statement and not any(s.start < statement.end and statement.start < s.end for s in found):
                found.append(statement)
    return sorted(found, key=lambda statement: statement.start)


def ends_cleanly(completion: str, statement: Statement) -> bool:
    """True if only white space, closing punctuation and special tokens follow ``statement``."""
    rest = _SPECIAL_TOKEN.sub("", completion[statement.end :])
    return _CLOSING.fullmatch(rest) is not None


def _boxes(text: str) -> list[Statement]:
    """Balanced boxes, outermost ones only, in one pass whatever the nesting."""
    boxes: list[Statement] = []
    open_braces: list[re.Match[str] | None] = []  # the match that opened a box, None for a plain brace
    for token in _BOX_TOKEN.finditer(text):
        if token[0] == "}":
            opener = open_braces.pop() if open_braces else None
            if opener is not None:
                inner = text[opener.end() : token.start()].strip()
                while boxes and boxes[-1].start > opener.start():
                    nested = boxes.pop()
                    if text[nested.start : nested.end] == inner:
                        inner = nested.answer
                if inner:
                    boxes.append(Statement("box", inner[:MAX_ANSWER_CHARS], opener.start(), token.end()))
        elif token[0] == "{":
            open_braces.append(None)
        elif token[0].endswith("{") and len(token[0]) > 2:  # not the escaped brace "\{"
            open_braces.append(token)
    return boxes


def _line_statement(kind: str, match: re.Match[str]) -> Statement | None:
    """A statement, cut at the first special token."""
    start, stop = match.span("answer")
    text = match.string
    if special := _SPECIAL_TOKEN.search(text, start, stop):
        stop = special.start()
    answer = text[start:stop].strip()
    return Statement(kind, answer[:MAX_ANSWER_CHARS], match.start(), stop) if answer else None

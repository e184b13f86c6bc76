"""Finds the statements of a final answer in a text.

Plain statements, of which the *last* one counts, whatever its kind, for reasoning boxes intermediate
results and may correct itself: ``\\boxed{x}``, ``<answer>x</answer>``, ``#### x``, "the answer is x",
"Answer: x" and a heading "Final Answer" with x below. Only where there is none: bold text in the last
line, or displayed mathematics that ends the text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from igpo_lightning.rewards import environments
from igpo_lightning.rewards.boxes import boxes, unclosed
from igpo_lightning.rewards.emphasis import opening, without_emphasis
from igpo_lightning.rewards.prose import is_answer

MAX_ANSWER_CHARS = 20_000
"""Longer answers are cut; what is cut equals nothing."""

_TAG = re.compile(r"<answer>(?P<answer>(?:(?!</?answer>).)+)</answer>", re.DOTALL)
_HASHES = re.compile(r"(?<!#)####[ \t]*(?P<answer>[^\s#][^\n]*)")
_SPECIAL_TOKEN = re.compile(  # and the tags of prompt formats
    r"<\|[^<>|]{0,80}\|>|</?s>|<(?:eos|bos|pad|mask)>|\[(?:EOS|PAD|MASK)\]|</?(?:answer|reasoning)>", re.I
)
_CLOSING = re.compile(r"(?:[\s.$*]|\\[\])])*")

_CUE = re.compile(
    r"""
    (?:\b(?:the|our|my|an?|so|your)\s{1,3})?
    (?:\b(?:final|correct|right|best|required|desired|numerical|exact|overall)\s{1,3}){0,2}
    (?:\banswers?(?:\s{1,3}(?:choice|option))?\b|(?<=final\s)(?:result|solution)\b
      |(?:(?<=correct\s)|(?<=right\s)|(?<=best\s)|(?<=final\s))(?:option|choice)\b
       (?=(?:\s{1,3}(?:is|was|must\s+be|should\s+be|would\s+be)\b|\s{0,3}[:=])
          [\s*_:$({\\]{0,12}(?:(?:text|math)[a-z]{0,6}\s?\{\s?\(?|boxed\s?\{[\s(]?)?(?-i:[A-J])(?![A-Za-z'])))
    (?:
      (?:\s{1,3}(?:to|for|of)\s[^.:\n=$\\]{1,80}?)?
      (?:\s{1,3}(?:is|are|was|were|(?:will|would|must|should)\s{1,3}be|equals?(?:\s{1,3}to)?)\b
         (?:\s{1,3}(?:equal\s{1,3}to|(?:found|calculated|computed|determined)\s{1,3}to\s{1,3}be)\b)?
      |\s{0,3}=)
      [*_\s]{0,6}:?
    | \s{0,3}[*_]{0,3}\s{0,3}:
    | (?<=^final\ answer)(?=[*_]{0,3}[ \t]{0,3}$) | (?<=\ final\ answer)(?=[*_]{0,3}[ \t]{0,3}$)
    | (?<=[*\#]final\ answer)(?=[*_]{0,3}[ \t]{0,3}$)
    | (?<=\*\*answer)(?=\*\*[ \t]{0,3}$) | (?<=\#\ answer)(?=[ \t]{0,3}$)
    )
    (?P<marks>[*_]{0,3})
    """,
    re.I | re.X | re.M,
)
_GAP = re.compile(r"[ \t*_:`]*(?:\r?\n[ \t>*_#`]*(?:[-\u2022][ \t]+)?){0,3}")
_FILLER = re.compile(
    r"(?:(?:indeed|thus|therefore|then|simply|just|hence|clearly|also|exactly|still|now|actually)[,\s]+"
    r"|(?:option|choice)\s+(?=\(?[A-J]\b)|[:=]\s*)+",
    re.I,
)
_END = re.compile(
    r"(?<!\\)[.!?]+[*_\"'`]*(?=\s+(?-i:[^a-z\s])|\s*\Z)|[.!?]+(?=\$*\s*\Z)"
    r"|,?\s+(?:or\s+)?(?:about|approximately|roughly)\b|,?\s+(?:since|because|as|so|which|where|that\s+is|i\.e\.|hence|therefore|thus|but|not)\b"
    r"|\s+[({](?:since|because|as|not)\b|\s*\\\]|\s+---?\s|\s*\u2014",
    re.I,
)
_MONEY = re.compile(r"\$(?=[0-9])")
_BOLD = re.compile(r"\*\*(?P<answer>(?:(?!\*\*)[^\n]){1,800})\*\*[^*\d\n]{0,40}\Z")
_DISPLAY = re.compile(
    r"(?:\\\[(?P<answer>(?:(?!\\[\[\]]).)+)\\\]|\$\$(?P<dollars>[^$]+)\$\$)\s*[.]?\s*\Z", re.S
)
_LAST_CHARS = 1500


@dataclass(frozen=True)
class Statement:
    """One final-answer statement: ``text[start:end]`` says ``answer``, words that lead to it included."""

    kind: str  # "box", "tag", "hashes", "phrase", "bold" or "display"
    answer: str
    start: int
    end: int


def extract(completion: str) -> str | None:
    """The final answer of ``completion``, the one that is stated last; None if it states none."""
    found = statements(completion)
    return found[-1].answer if found else None


def statements(completion: str) -> list[Statement]:
    """All final-answer statements in order; "<answer>\\boxed{72}</answer>" is one statement, the box."""
    found = [Statement("box", box.answer[:MAX_ANSWER_CHARS], box.start, box.end) for box in boxes(completion)]
    for candidates in (_hashes(completion), _phrases(completion), _tags(completion)):
        taken = _Taken(found)
        found += [statement for statement in candidates if taken.free(statement)]
        found.sort(key=lambda statement: statement.start)
    return found or _closing(completion)


def ends_cleanly(completion: str, statement: Statement) -> bool:
    """True if only white space, closing punctuation and special tokens follow ``statement``."""
    rest = _SPECIAL_TOKEN.sub("", completion[statement.end :])
    return _CLOSING.fullmatch(rest) is not None


class _Taken:
    """Tell the stretches of a text that are statements already; both sequences run from left to right."""

    def __init__(self, found: list[Statement]) -> None:
        self._found, self._at = found, 0

    def free(self, statement: Statement) -> bool:
        while self._at < len(self._found) and self._found[self._at].end <= statement.start:
            self._at += 1
        return self._at == len(self._found) or self._found[self._at].start >= statement.end


def _tags(text: str) -> Iterator[Statement]:
    for match in _TAG.finditer(text):
        yield from _made("tag", text, match.start(), *match.span("answer"))


def _behind_gap(text: str, start: int, stop: int = sys.maxsize) -> int:
    gap = _GAP.match(text, start, stop)
    return gap.end() if gap else start


def _hashes(text: str) -> Iterator[Statement]:
    for match in _HASHES.finditer(text):
        start, stop = match.span("answer")
        cue = _CUE.match(text, start, stop)
        if cue is not None:
            start = opening(text, _behind_gap(text, cue.end(), stop), stop)
        if start < stop and is_answer(text[start:stop]):
            yield from _made("hashes", text, match.start(), start, stop)


def _phrases(text: str) -> Iterator[Statement]:
    """Sentences that name the answer, and what stands on the next line where nothing follows on their own."""
    cues = list(_CUE.finditer(text))
    limits = [*(cue.start() for cue in cues), len(text)][1:]
    for match, limit in zip(cues, limits, strict=True):
        start = _behind_gap(text, match.end())
        stop = text.find("\n", start, limit)
        stop = limit if stop < 0 else stop
        if (display := environments.opened(text, start)) is not None:  # it may go over several lines
            begin, end = display
            close = text.find(end, begin, start + _LAST_CHARS)
            body = text[begin:close] if close >= 0 else ""
            stop = close + len(end) if body else stop
            if body.strip() and not unclosed(body):
                body = text[start:stop] if end.startswith("\\end") else body
                yield Statement("phrase", body.strip()[:MAX_ANSWER_CHARS], match.start(), stop)
                continue
        special = _SPECIAL_TOKEN.search(text, start, stop)
        stop = special.start() if special else stop
        start = opening(text, start, stop)
        filler = _FILLER.match(text, start, stop)
        start = filler.end() if filler else start
        said = text[start : min(stop, start + MAX_ANSWER_CHARS)]
        said = said[: _sentence_end(said)]
        if is_answer(said) and not unclosed(said):
            yield from _made("phrase", text, match.start(), start, start + len(said))


def _sentence_end(line: str) -> int:
    """Where a sentence ends: not at the point of "4 sq. ft", and not within inline mathematics."""
    at = 0
    money = line.count("$") % 2 == 1 or line.count("$") == len(_MONEY.findall(line))
    while (match := _END.search(line, at)) is not None:
        before = line[: match.start()]
        inside = (not money and before.count("$") % 2 == 1) or before.count("\\(") > before.count("\\)")
        closes = match[0].lstrip().startswith((".", "!", "?")) and line[match.end() :].strip() in ("$", "")
        if match.start() > 0 and (not inside or closes or match[0].strip() == "\\]"):
            return match.start()
        at = max(match.end(), at + 1)
    return len(line)


def _closing(text: str) -> list[Statement]:
    """Bold text in the last line, or a display that ends the text."""
    stop = len(text.rstrip())
    if special := _SPECIAL_TOKEN.search(text, max(0, stop - _LAST_CHARS)):
        stop = len(text[: special.start()].rstrip())
    start = max(0, stop - _LAST_CHARS)
    tail = text[start:stop]
    line = tail.rfind("\n") + 1
    bold = _BOLD.search(tail, line)
    if bold and is_answer(bold["answer"]) and not bold["answer"].rstrip().endswith(":"):
        return list(_made("bold", text, start + bold.start(), *(start + at for at in bold.span("answer"))))
    display = tail.rfind("\\[")
    display = display if display >= 0 else tail.rfind("$$", 0, max(0, tail.rfind("$$")))
    if (environment := environments.last_environment(tail)) > display and not unclosed(tail[environment:]):
        begin = start + environment
        return list(_made("display", text, begin, begin, stop))
    match = _DISPLAY.match(tail, display) if display >= 0 else None
    if match and not unclosed(match[0]):
        group = "answer" if match["answer"] is not None else "dollars"
        return list(_made("display", text, start + match.start(), *(start + at for at in match.span(group))))
    return []


def _made(kind: str, text: str, begin: int, start: int, stop: int) -> Iterator[Statement]:
    """A statement whose answer is ``text[start:stop]``, cut at the first special token; none if empty."""
    if special := _SPECIAL_TOKEN.search(text, start, stop):
        stop = special.start()
    answer = without_emphasis(text[start:stop].strip()).strip("*` \t\r\n")
    if answer:
        yield Statement(kind, answer[:MAX_ANSWER_CHARS], begin, stop)

"""Training problems that stand in a benchmark or in the test set: found, listed, and left out.

A problem is found if it is the same text up to case, spacing and LaTeX's own words, however short it is, or
if it shares 13 words in a row (numbers are words, drawings and punctuation are not) with a problem it must
not be trained with (arXiv 2005.14165, appendix C). As there, a phrase that more than ten different training
problems use ("m/n, where m and n are relatively prime positive integers, find m + n") tells nothing, unless
it is three quarters of what either problem says.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.sources.base import Source
from igpo_lightning.data.splits import content
from igpo_lightning.types import Problem

WORDS = 13
"""Words in a row that two problems must share."""

COMMON = 10
"""A phrase in more training problems than this is a manner of speaking."""

_ALIGNED = (WORDS + 1) // 2  # any 13 words in a row hold 7 that begin at a multiple of 7
_MOST = 0.75  # of a problem
_SHORTEST = 8  # a shorter text is found alone, not within another
_DRAWING = re.compile(r"\[asy\].*?(?:\[/asy\]|\Z)", re.DOTALL)
_NOISE = re.compile(
    r"\\(?:left|right|displaystyle|textstyle|begin|end|quad|qquad|text|textbf|mathrm|mbox)(?![a-z])"
    r"|\\[,!;: ]|[$]|(?<=\d),(?=\d{3}(?!\d))"
)
_FRACTION = re.compile(r"\\[dt]frac")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces: each is a word
_WORD = re.compile(rf"[{_IDEOGRAPH}]|[^\W\d_{_IDEOGRAPH}]+|\d+(?:\.\d+)?")
_SIGN = re.compile(rf"{_WORD.pattern}|[^\s\w{{}}\\.,;:?!'\"`~]")

Words = tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """A training problem that is not to be trained on.

    Attributes:
        problem: It.
        other: The id of the problem that it stands in for ("math500/17").
        how: "same text", or the words that both have.
    """

    problem: Problem
    other: str
    how: str

    def row(self) -> dict[str, str]:
        """The overlap as a row of contaminated.jsonl."""
        return {"id": self.problem.id, "prompt": self.problem.prompt, "in": self.other, "how": self.how}


@dataclass
class Decontaminated:
    """Result: what is left to train on, and what was looked at.

    Attributes:
        problems: Without those that stand elsewhere.
        overlaps: Those.
        checked: Names of the problem sets compared with, with their sizes.
        unread: Names of benchmarks that could not be read, with the reason.
    """

    problems: Sequence[Problem]
    overlaps: list[Overlap] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)

    def describe(self, listed: bool = True) -> list[str]:
        """Notes for people, in lines; ``listed`` if there is a file that lists the overlaps."""
        lines = []
        if self.overlaps and listed:
            where = Counter(overlap.other.partition("/")[0] for overlap in self.overlaps)
            counts = ", ".join(f"{count:,} in {name}" for name, count in where.most_common())
            lines.append(
                f"{len(self.overlaps):,} training problems stand in held-out sets ({counts}) and are left "
                "out: contaminated.jsonl lists them"
            )
        if self.unread:
            reason = next(iter(self.unread.values()))
            lines.append(
                f"training problems were not compared with {', '.join(self.unread)} ({reason}); "
                "data.benchmarks_dir=FOLDER reads them from there"
            )
        return lines


class Decontaminator:
    """Leaves training problems out that stand in a benchmark or among a source's own held-out problems.

    Args:
        benchmarks: Name → benchmark; those that can't be read are said.
        enabled: False compares nothing.
    """

    def __init__(self, benchmarks: Mapping[str, Any], enabled: bool = True) -> None:
        self.benchmarks, self.enabled = benchmarks, enabled

    def __call__(self, source: Source, problems: Sequence[Problem] | None = None) -> Decontaminated:
        """The training problems of ``source`` that may be trained on, or those of a part, ``problems``."""
        train = source.train if problems is None else problems
        if not self.enabled:
            return Decontaminated(train)
        checked, unread = {}, {}
        held: list[Problem] = []
        if not source.disjoint:  # what is made from templates shares their words, by design
            own = [*source.test, *source.val]
            held += own
            checked["held-out problems"] = len(own)
        for name, benchmark in self.benchmarks.items():
            try:
                others = benchmark.problems()
            except ConfigError as error:
                unread[name] = str(error)
                continue
            held += others
            checked[name] = len(others)
        overlaps = find(train, held) if held else []
        out = {overlap.problem.id for overlap in overlaps}
        kept = [problem for problem in train if problem.id not in out] if out else train
        return Decontaminated(kept, overlaps, checked, unread)


def find(problems: Iterable[Problem], held: Iterable[Problem]) -> list[Overlap]:
    """Find those of ``problems`` that stand in ``held``, in order; each once."""
    index = _Index(held)
    hits = [(problem, hit) for problem in problems if (hit := index.look_up(problem))]
    used: Counter[Words] = Counter()  # by how many different problems
    for text in {" ".join(hit.words): hit for _, hit in hits}.values():
        used.update(set(text.shared))
    return [Overlap(problem, *told) for problem, hit in hits if (told := index.judge(hit, used)) is not None]


@dataclass(frozen=True)
class _Hit:
    """A text that shares something with a held-out problem."""

    words: Words
    same: str | None  # the id of a problem of the same text, or one that stands in it whole
    shared: tuple[Words, ...]  # of WORDS words


class _Index:
    """Held-out problems, by what is looked for in others."""

    def __init__(self, held: Iterable[Problem]) -> None:
        self.whole: dict[Words, str] = {}  # all signs of a problem → its id
        self.within: dict[Words, list[Words]] = defaultdict(list)  # first two signs → all of a short problem
        self.phrases: dict[Words, str] = {}
        self.aligned: set[Words] = set()
        self.sizes: dict[str, int] = {}
        self.tasks: dict[str, str] = {}  # of what is told by more than its words
        for problem in held:
            if problem.task:
                self.tasks.setdefault(content(problem), problem.id)
            signs, words = signs_of(problem.prompt), words_of(problem.prompt)
            if not signs:
                continue
            self.sizes[problem.id] = len(words)
            self.whole.setdefault(signs, problem.id)
            if len(words) < WORDS and len(signs) >= _SHORTEST:
                self.within[signs[:2]].append(signs)
            for phrase in _runs(words, WORDS):
                self.phrases.setdefault(phrase, problem.id)
            self.aligned.update(_runs(words, _ALIGNED))

    def look_up(self, problem: Problem) -> _Hit | None:
        """Return what ``problem`` shares, None if nothing."""
        text = problem.prompt
        signs, words = signs_of(text), words_of(text)
        same = self.tasks.get(content(problem)) or (self.whole.get(signs) if signs else None)
        same = same or self._standing_within(signs)
        shared: tuple[Words, ...] = ()
        starts = range(0, len(words) - _ALIGNED + 1, _ALIGNED)
        if any(words[i : i + _ALIGNED] in self.aligned for i in starts):
            shared = tuple(phrase for phrase in _runs(words, WORDS) if phrase in self.phrases)
        return _Hit(words, same, shared) if same or shared else None

    def judge(self, hit: _Hit, used: Mapping[Words, int]) -> tuple[str, str] | None:
        """(id of the problem that it stands in, how); None if it only speaks alike."""
        if hit.same:
            return hit.same, "same text"
        for phrase in hit.shared:
            if used[phrase] <= COMMON:
                return self.phrases[phrase], " ".join(phrase)
        by_problem = Counter(self.phrases[phrase] for phrase in hit.shared)
        other, count = by_problem.most_common(1)[0]
        if count + WORDS - 1 > _MOST * min(self.sizes[other], len(hit.words)):
            return other, " ".join(hit.shared[0])
        return None

    def _standing_within(self, signs: Words) -> str | None:
        for start in range(len(signs) - _SHORTEST + 1):
            for short in self.within.get(signs[start : start + 2], ()):
                if signs[start : start + len(short)] == short:
                    return self.whole[short]
        return None


def words_of(text: str) -> Words:
    """The words and numbers of a text, without its drawings and LaTeX commands."""
    return tuple(_WORD.findall(_COMMAND.sub(" ", _plain(_DRAWING.sub(" ", text)))))


def signs_of(text: str) -> Words:
    """The words, numbers and operators of a text: what tells ``2 + 3`` from ``2 - 3``."""
    return tuple(_SIGN.findall(_plain(text)))


def _plain(text: str) -> str:
    text = _FRACTION.sub(r"\\frac", unicodedata.normalize("NFKC", text).lower())
    return _NOISE.sub(lambda m: "" if m[0] == "," else " ", text)


def _runs(words: Words, length: int) -> Iterable[Words]:
    return (words[i : i + length] for i in range(len(words) - length + 1))

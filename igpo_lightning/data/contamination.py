"""Training problems that stand in a benchmark or in the test set: found, listed, and left out.

A problem is found if it is the same text up to case, spacing and notation, however short it is and whatever
few words stand around it; if it is a short one but for words of grammar or a word put in (``near_texts``); or
if it shares 13 words in a row (numbers are words, drawings and punctuation are not) with a problem it must
not be trained with (arXiv 2005.14165, appendix C). As there, a phrase that more than ten different training
problems use ("m/n, where m and n are relatively prime positive integers, find m + n") tells nothing, nor one
that overlaps with it by half, unless it is three quarters of what either problem says.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from igpo_lightning.checks import ConfigError
from igpo_lightning.data.near_texts import NearTexts
from igpo_lightning.data.problem_text import Reading, Words, is_word
from igpo_lightning.data.sources.base import Source
from igpo_lightning.data.splits import content
from igpo_lightning.types import Problem

WORDS = 13
"""Words in a row that two problems must share."""

COMMON = 10
"""A phrase in more training problems than this is a manner of speaking."""

_ALIGNED = (WORDS + 1) // 2  # any 13 words in a row hold 7 that begin at a multiple of 7
_BESIDE = WORDS // 2  # words: a phrase that begins so near to a manner of speaking is part of it
_MOST = 0.75  # of a problem
_SHORTEST = 8  # a shorter text is found within another only if that adds nothing but a few words
_LONGEST_NEAR = 4 * WORDS  # words of a text that may be such a problem in other words
_LEAST = 3  # signs of such a shorter text, with a number
_FRAME = 30  # words around it


@dataclass(frozen=True)
class Overlap:
    """A training problem that is not to be trained on.

    Attributes:
        problem: It.
        other: The id of the problem that it stands in for ("math500/17").
        how: "same text", "same text but for a few words", or the words that both have.
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
        used.update(set(text.shared.values()))
    return [Overlap(problem, *told) for problem, hit in hits if (told := index.judge(hit, used)) is not None]


@dataclass(frozen=True)
class _Hit:
    """A text that shares something with a held-out problem."""

    words: Words
    same: str | None  # the id of a problem of the same text, or one that stands in it whole
    near: str | None  # or one in almost the same words
    shared: Mapping[int, Words]  # where each phrase of WORDS words begins


class _Index:
    """Held-out problems, by what is looked for in others."""

    def __init__(self, held: Iterable[Problem]) -> None:
        self.whole: dict[Words, str] = {}  # all signs of a problem → its id
        self.within: dict[Words, list[Words]] = defaultdict(list)  # first two signs → all of a short problem
        self.phrases: dict[Words, str] = {}
        self.aligned: set[Words] = set()
        self.sizes: dict[str, int] = {}
        self.near = NearTexts()
        self.tasks: dict[str, str] = {}  # of what is told by more than its words
        for problem in held:
            if problem.task:
                self.tasks.setdefault(content(problem), problem.id)
            reading = Reading(problem.prompt)
            signs, words = reading.signs, reading.words
            if not signs:
                continue
            self.sizes[problem.id] = len(words)
            self.whole.setdefault(signs, problem.id)
            if len(words) < WORDS and (len(signs) >= _SHORTEST or _is_told_apart(reading)):
                self.within[signs[:2]].append(signs)
            if len(words) < 2 * WORDS:  # with one word put in, no 13 of them need be left in a row
                self.near.add(reading, problem.id)
            for phrase in _runs(words, WORDS):
                self.phrases.setdefault(phrase, problem.id)
            self.aligned.update(_runs(words, _ALIGNED))

    def look_up(self, problem: Problem) -> _Hit | None:
        """Return what ``problem`` shares, None if nothing."""
        reading = Reading(problem.prompt)
        signs, words = reading.signs, reading.words
        same = self.tasks.get(content(problem)) or (self.whole.get(signs) if signs else None)
        same = same or self._standing_within(signs)
        shared: dict[int, Words] = {}
        starts = range(0, len(words) - _ALIGNED + 1, _ALIGNED)
        if any(words[i : i + _ALIGNED] in self.aligned for i in starts):
            shared = {i: run for i, run in enumerate(_runs(words, WORDS)) if run in self.phrases}
        near = None if same or shared or len(words) > _LONGEST_NEAR else self.near.find(reading)
        return _Hit(words, same, near, shared) if same or near or shared else None

    def judge(self, hit: _Hit, used: Mapping[Words, int]) -> tuple[str, str] | None:
        """(id of the problem that it stands in, how); None if it only speaks alike."""
        if hit.same:
            return hit.same, "same text"
        if hit.near:
            return hit.near, "same text but for a few words"
        common = {start for start, phrase in hit.shared.items() if used[phrase] > COMMON}
        for start, phrase in hit.shared.items():
            if common.isdisjoint(range(start - _BESIDE, start + _BESIDE + 1)):
                return self.phrases[phrase], " ".join(phrase)
        by_problem = Counter(self.phrases[phrase] for phrase in hit.shared.values())
        other, count = by_problem.most_common(1)[0]
        if count + WORDS - 1 > _MOST * min(self.sizes[other], len(hit.words)):
            return other, " ".join(next(iter(hit.shared.values())))
        return None

    def _standing_within(self, signs: Words) -> str | None:
        for start in range(len(signs) - _LEAST + 1):
            for short in self.within.get(signs[start : start + 2], ()):
                end = start + len(short)
                if signs[start:end] != short:
                    continue
                if len(short) >= _SHORTEST or _is_frame(signs[:start], signs[end:]):
                    return self.whole[short]
        return None


def _is_told_apart(reading: Reading) -> bool:
    """True if a few signs, one of them a number, are a problem by themselves: "Simplify the root of 242"."""
    return len(reading.content) >= _LEAST and any(sign[0].isdigit() for sign in reading.content)


def _is_frame(before: Words, after: Words) -> bool:
    """True if a few words alone stand around a problem, such as "Question:" or "Put your answer in a box"."""
    around = [sign for sign in before + after if sign != "a"]
    return len(around) <= _FRAME and all(map(is_word, around))


def _runs(words: Words, length: int) -> Iterable[Words]:
    return (words[i : i + length] for i in range(len(words) - length + 1))

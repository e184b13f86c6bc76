"""Operands of formulas: numbers, groups, letters and commands."""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from typing import NamedTuple

from igpo_lightning.data.mentions import notation as n
from igpo_lightning.data.mentions import values as v
from igpo_lightning.data.mentions.values import Value
from igpo_lightning.rewards.numbers import repeating
from igpo_lightning.rewards.vocabulary import SPELLED

_MAX_DEPTH = 40
_LONGEST_PRODUCT = 3  # letters side by side; more are a word


class Formula(NamedTuple):
    """``text[start:end]`` is a formula, or a part of one, with this value."""

    start: int
    end: int
    value: Value


class Read(NamedTuple):
    end: int
    value: Value | None


class Operands(ABC):
    """The lower half of :class:`~igpo_lightning.data.mentions.reader.Reader`, which has the operators."""

    text: str
    formulas: list[Formula]
    resume: int
    _depth: int

    @abstractmethod
    def sum(self, position: int) -> Read | None: ...

    @abstractmethod
    def skip(self, position: int) -> int: ...

    @abstractmethod
    def _power(self, at: int) -> Read | None: ...

    @abstractmethod
    def _exponent(self, at: int) -> Read | None: ...

    @abstractmethod
    def _joins(self, end: int, at: int) -> bool: ...

    def _atom(self, at: int) -> Read | None:
        if self._depth == _MAX_DEPTH:
            self.resume = max(self.resume, at + 1)
            return None
        self._depth += 1
        read = self._read_atom(at)
        self._depth -= 1
        return read

    def _read_atom(self, at: int) -> Read | None:
        if number := n.NUMBER.match(self.text, at):
            return self._number(number)
        char = self.text[at : at + 1]
        if char in n.CLOSERS:
            return self._group(at, n.CLOSERS[char])
        if char == "\\":
            return self._command(at)
        if char.isascii() and char.isalpha():
            return self._letters(at)
        if char == "√":
            read = self._atom(at + 1)
            return read and Read(read.end, v.root(read.value))
        if char == "π":
            return Read(at + 1, v.PI)
        if char and unicodedata.category(char) == "No" and char not in n.SUPERSCRIPTS:
            return Read(at + 1, v.constant(unicodedata.numeric(char)))  # such as ½
        return None

    def _number(self, match: re.Match[str]) -> Read:
        """A number, a mixed number, or one with repeating digits; one in another base has no value."""
        text, end = self.text, match.end()
        if base := n.BASE.match(text, end):
            return Read(base.end(), None)
        value = float(n.NO_DIGIT.sub("", match[0]))
        if cycle := n.REPEATED.match(text, match.start()):
            return Read(cycle.end(), v.constant(float(repeating(cycle[1], cycle[2]))))
        if match[0].isdigit() and (mixed := n.MIXED.match(text, end)):
            top, bottom = (float(part[:300]) for part in mixed.groups() if part and part != "-")
            if bottom:
                self._note_mixed(match.start(), end, mixed.end(), value, top / bottom)
                if not mixed["hyphen"]:
                    return Read(mixed.end(), v.constant(value + top / bottom))
        return Read(end, v.constant(value))

    def _note_mixed(self, start: int, between: int, end: int, whole: float, rest: float) -> None:
        """A mixed number and its fraction, which may also multiply the number before it."""
        self.formulas.append(Formula(between, end, v.constant(rest)))
        self.formulas.append(Formula(start, end, v.constant(whole * rest)))
        self.formulas.append(Formula(start, end, v.constant(whole + rest)))

    def _group(self, at: int, closer: str) -> Read | None:
        """A formula between brackets; None if it does not end there, and reading goes on inside."""
        inner = self.sum(at + 1)
        end = self.skip(inner.end if inner else at + 1)
        if inner and (stacked := n.STACKED.match(self.text, end)) and (below := self.sum(stacked.end())):
            join = v.choose if stacked[1] == "choose" else v.divide
            inner = Read(below.end, join(inner.value, below.value))
            end = self.skip(inner.end)
        if inner is None or not self.text.startswith(closer, end):
            self.resume = max(self.resume, inner.end if inner else at + 1)
            return None
        return Read(end + 1, v.each(v.absolute, inner.value) if closer == "|" else inner.value)

    def _letters(self, at: int) -> Read | None:
        word = n.WORD.match(self.text, at)
        if word is None:
            return None
        if word[0] in v.FUNCTIONS:
            return self._function(word[0], word.end())
        if word[0] in SPELLED:
            return self._named(word[0], word.end())
        if word.end() - at > _LONGEST_PRODUCT:
            return None
        return self._variable(word[0][0], at + 1)

    def _named(self, name: str, end: int) -> Read:
        return Read(end, v.PI) if name == "pi" else self._variable(name, end)

    def _variable(self, name: str, end: int) -> Read:
        if index := n.INDEX.match(self.text, end):
            name, end = name + index[0].strip("_{}"), index.end()
        return Read(end, v.letter(name))

    def _command(self, at: int) -> Read | None:
        match = n.NAME.match(self.text, at)
        if match is None:
            return None
        name, end = match[1], match.end()
        if name in n.LETTERS:
            return self._named(name, end)
        if name == "sqrt":
            return self._square_root(end)
        if name in v.FUNCTIONS:
            return self._function(name, end)
        if name in n.WRAPPERS and self.text[end : end + 1] == "{":
            return self._group(end, "}")
        if name in n.FRACTIONS or name in n.CHOICES:
            top = self._argument(end)
            bottom = top and self._argument(top.end)
            join = v.choose if name in n.CHOICES else v.divide
            return Read(bottom.end, join(top.value, bottom.value)) if top and bottom else None
        return None

    def _square_root(self, end: int) -> Read | None:
        """``\\sqrt2``, ``\\sqrt{2}`` or ``\\sqrt[3]{2}``."""
        degree = self._group(at, "]") if self.text[(at := self.skip(end)) : at + 1] == "[" else None
        read = self._argument(degree.end if degree else end)
        return read and Read(read.end, v.root(read.value, degree.value) if degree else v.root(read.value))

    def _argument(self, position: int, whole_number: bool = False) -> Read | None:
        """Argument of a command: a group, a command, a letter, or one digit (or a whole number)."""
        at = self.skip(position)
        char = self.text[at : at + 1]
        if number := n.DIGITS.match(self.text, at):
            said = number[0] if whole_number else char
            return Read(at + len(said), v.constant(float(said)))
        if char.isascii() and char.isalpha():
            return Read(at + 1, v.letter(char))
        read = self._atom(at) if char and char in "\\{(√π" else None
        if read and read.value:
            self.formulas.append(Formula(at, read.end, read.value))
        return read

    def _function(self, name: str, end: int) -> Read | None:
        """``\\sin^2 2x``: the argument goes as far as factors without a sign between them."""
        base = self._argument(end + 1) if name == "log" and self.text[end : end + 1] == "_" else None
        end = base.end if base else end
        sign = n.EXPONENT.match(self.text, end)
        exponent = self._exponent(sign.end()) if sign else None
        argument = self._power(exponent.end if exponent else end)
        while argument and self._continues(argument.end, at := self.skip(argument.end)):
            if not (more := self._power(at)):
                break
            argument = Read(more.end, v.multiply(argument.value, more.value))
        if argument is None:
            return None
        raised = exponent.value if exponent else None
        if raised == v.constant(-1) and name in v.INVERSES:
            name, raised = v.INVERSES[name], None
        value = v.logarithm(argument.value, base.value) if base else v.each(v.FUNCTIONS[name], argument.value)
        return Read(argument.end, v.power(value, raised) if raised else value)

    def _continues(self, end: int, at: int) -> bool:
        """True if the argument of a function goes on at ``at``."""
        name = n.NAME.match(self.text, at) or n.WORD.match(self.text, at)
        if self.text[at : at + 1] == "(" or (name and name[0].lstrip("\\") in v.FUNCTIONS):
            return False
        return self._joins(end, at)

"""Reads formulas in running text by recursive descent, and notes what each part of them is worth."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple

from igpo_lightning.data.mentions import notation as n
from igpo_lightning.data.mentions import values as v
from igpo_lightning.data.mentions.values import Value

_MAX_DEPTH = 40
_MAX_RUN = 8  # terms or factors whose runs are looked at
_LONGEST_PRODUCT = 3  # letters side by side; more are a word


class Formula(NamedTuple):
    """``text[start:end]`` is a formula, or a part of one, with this value."""

    start: int
    end: int
    value: Value


class _Read(NamedTuple):
    end: int
    value: Value | None


_Item = tuple[int, int, Value | None]


class Reader:
    """One pass over a text; no part is read twice, however broken it is.

    Args:
        text: Prose with LaTeX or plain arithmetic in it.
        plus_minus: What a ``\\pm`` means, 1 or -1.
        degree: What a degree is worth.

    Attributes:
        formulas: What was noted.
        resume: Where reading goes on after a group that does not end; 0 if all did.
    """

    def __init__(self, text: str, plus_minus: int = 1, degree: Value = v.DEGREE) -> None:
        self.text, self.plus_minus, self.degree = text, plus_minus, degree
        self.formulas: list[Formula] = []
        self.resume = self._depth = 0

    def scan(self) -> list[Formula]:
        """The formulas that stand for themselves, in order; notes them and their parts."""
        position, whole = 0, []
        while position < len(self.text):
            found = self.sum(position)
            if found is None:
                position = max(self._past(position), self.resume)
                continue
            if found.value:
                whole.append(Formula(self._operand(position), found.end, found.value))
            position = max(found.end, self.resume)
        return whole

    def _past(self, position: int) -> int:
        """Behind the word or character that begins no formula."""
        word = n.WORD.match(self.text, position) or n.NAME.match(self.text, position)
        return word.end() if word else max(position + 1, self.skip(position))

    def skip(self, position: int) -> int:
        """Behind the spaces at ``position``."""
        if self.text[position : position + 1] not in n.GAP_BEGINS:
            return position
        return n.GAP.match(self.text, position).end()

    def _operand(self, position: int) -> int:
        """Where an operand begins, behind spaces and a sign of money."""
        at = self.skip(position)
        return n.MONEY.match(self.text, at).end() if self.text[at : at + 1] in n.MONEY_BEGINS else at

    def _note(self, items: Sequence[_Item], join: Callable[..., Value | None]) -> Value | None:
        """Note every run of ``items``, of plain numbers only the whole; the value of them all."""
        whole = items[0][2]
        for item in items[1:]:
            whole = join(whole, item[2])
        if len(items) > _MAX_RUN:
            if whole:
                self.formulas.append(Formula(items[0][0], items[-1][1], whole))
            return whole
        for first, (start, end, value) in enumerate(items):
            if value and join is v.multiply and (len(items) == 1 or end > start + 1):
                self.formulas.append(Formula(start, end, value))  # a sum's terms are noted as products
            for last, (_, end, other) in enumerate(items[first + 1 :], start=first + 2):
                if not (value := join(value, other)):
                    break
                if last - first == len(items) or n.SYMBOL.search(self.text, start, end):
                    self.formulas.append(Formula(start, end, value))
        return whole

    # ------------------------------------------------------------ sums and products

    def sum(self, position: int) -> _Read | None:
        """The longest sum at ``position``; None if no formula begins there."""
        terms: list[_Item] = []
        while True:
            start = self.skip(position) if terms else self._operand(position)
            sign = n.SIGN.match(self.text, start)
            if terms and not sign:
                break
            second = n.SIGN.match(self.text, sign.end()) if sign and terms else None  # 9+-1
            term = self._product((second or sign).end() if sign else start)
            if term is None:
                break
            terms.append((start, term.end, self._signed(second, self._signed(sign, term.value))))
            position = term.end
        return _Read(position, self._note(terms, v.add)) if terms else None

    def _signed(self, sign: re.Match[str] | None, value: Value | None) -> Value | None:
        if sign is None:
            return value
        if sign["either"] or sign["neither"]:
            negative = (self.plus_minus < 0) == bool(sign["either"])
        else:
            negative = bool(sign["minus"])
        return v.negate(value) if negative else value

    def _product(self, position: int) -> _Read | None:
        first = self._power(position)
        if first is None:
            return None
        factors = [(self._operand(position), first.end, first.value)]
        while following := self._factor(factors[-1][1]):
            factors.append(following)
        return _Read(factors[-1][1], self._note(factors, v.multiply))

    def _factor(self, end: int) -> _Item | None:
        """What the product that ends at ``end`` is multiplied by next."""
        at = self.skip(end)
        over = n.OVER.match(self.text, at)
        if operation := over or n.TIMES.match(self.text, at):
            start = self._operand(operation.end())
            sign = n.SIGN.match(self.text, start)
            read = self._power(sign.end() if sign else start)
            value = read and self._signed(sign, read.value)
        else:
            start, read = at, self._power(at) if self._joins(end, at) else None
            value = read and read.value
        if read is None:
            return None
        return start, read.end, v.invert(value) if over else value

    def _joins(self, end: int, at: int) -> bool:
        """True if what begins at ``at`` multiplies what ended at ``end``, without a sign between."""
        char = self.text[at : at + 1]
        if char == "\\":
            name = n.NAME.match(self.text, at)
            return name is not None and name[1] not in n.WRAPPERS
        letter = char.isascii() and char.isalpha()
        if not letter and (char == "" or char not in "({√π"):
            return False
        between = self.text[end:at]
        if not any(c.isspace() for c in between):
            return True
        if "\n" in between or (letter and self.text[at : at + 2].isalpha()):
            return False
        return n.LAST_WORD.search(self.text[max(0, end - 8) : end]) is None

    # ------------------------------------------------------------ powers and what they are made of

    def _power(self, position: int) -> _Read | None:
        base = self._atom(self._operand(position))
        if base is None:
            return None
        end, value = base
        while True:
            char = self.text[end : end + 1]
            if degree := n.DEGREE_SIGN.match(self.text, self.skip(end)):
                end, value = degree.end(), v.multiply(value, self.degree)
            elif char == "!":
                end, value = end + 1, v.factorial(value)
            elif percent := n.PERCENT.match(self.text, end):  # 25% counts as 25
                end = percent.end()
            elif char in n.SUPERSCRIPTS:
                end, value = end + 1, v.power(value, v.constant(n.SUPERSCRIPTS[char]))
            elif (sign := n.EXPONENT.match(self.text, end)) and (exponent := self._exponent(sign.end())):
                end, value = exponent.end, v.power(value, exponent.value)
            else:
                return _Read(end, value)

    def _exponent(self, at: int) -> _Read | None:
        sign = n.SIGN.match(self.text, at)
        read = self._argument(sign.end() if sign else at, whole_number=True)
        return read and _Read(read.end, self._signed(sign, read.value))

    def _atom(self, at: int) -> _Read | None:
        if self._depth == _MAX_DEPTH:
            self.resume = max(self.resume, at + 1)
            return None
        self._depth += 1
        read = self._read_atom(at)
        self._depth -= 1
        return read

    def _read_atom(self, at: int) -> _Read | None:
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
            return read and _Read(read.end, v.root(read.value))
        if char == "π":
            return _Read(at + 1, v.PI)
        if char and unicodedata.category(char) == "No" and char not in n.SUPERSCRIPTS:
            return _Read(at + 1, v.constant(unicodedata.numeric(char)))  # such as ½
        return None

    def _number(self, match: re.Match[str]) -> _Read:
        """A number, a mixed number, or one with repeating digits; one in another base has no value."""
        text, end = self.text, match.end()
        if base := n.BASE.match(text, end):
            return _Read(base.end(), None)
        value = float(n.NO_DIGIT.sub("", match[0]))
        if cycle := n.REPEATED.match(text, end):
            return _Read(cycle.end(), v.constant(_repeating(match[0] + cycle[0])))
        if match[0].isdigit() and (mixed := n.MIXED.match(text, end)):
            top, bottom = (float(part[:300]) for part in mixed.groups() if part and part != "-")
            if bottom:
                self._note_mixed(match.start(), end, mixed.end(), value, top / bottom)
                if not mixed["hyphen"]:
                    return _Read(mixed.end(), v.constant(value + top / bottom))
        return _Read(end, v.constant(value))

    def _note_mixed(self, start: int, between: int, end: int, whole: float, rest: float) -> None:
        """A mixed number and its fraction, which may also multiply the number before it."""
        self.formulas.append(Formula(between, end, v.constant(rest)))
        self.formulas.append(Formula(start, end, v.constant(whole * rest)))
        self.formulas.append(Formula(start, end, v.constant(whole + rest)))

    def _group(self, at: int, closer: str) -> _Read | None:
        """A formula between brackets; None if it does not end there, and reading goes on inside."""
        inner = self.sum(at + 1)
        end = self.skip(inner.end if inner else at + 1)
        if inner and (stacked := n.STACKED.match(self.text, end)) and (below := self.sum(stacked.end())):
            join = v.choose if stacked[1] == "choose" else v.divide
            inner = _Read(below.end, join(inner.value, below.value))
            end = self.skip(inner.end)
        if inner is None or not self.text.startswith(closer, end):
            self.resume = max(self.resume, inner.end if inner else at + 1)
            return None
        return _Read(end + 1, v.each(abs, inner.value) if closer == "|" else inner.value)

    def _letters(self, at: int) -> _Read | None:
        word = n.WORD.match(self.text, at)
        if word[0] in v.FUNCTIONS:
            return self._function(word[0], word.end())
        if word.end() - at > _LONGEST_PRODUCT:
            return None
        return self._variable(word[0][0], at + 1)

    def _variable(self, name: str, end: int) -> _Read:
        if index := n.INDEX.match(self.text, end):
            name, end = name + index[0].strip("_{}"), index.end()
        return _Read(end, v.letter(name))

    def _command(self, at: int) -> _Read | None:
        match = n.NAME.match(self.text, at)
        if match is None:
            return None
        name, end = match[1], match.end()
        if name == "pi":
            return _Read(end, v.PI)
        if name in n.GREEK:
            return self._variable(name, end)
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
            return bottom and _Read(bottom.end, join(top.value, bottom.value))
        return None

    def _square_root(self, end: int) -> _Read | None:
        """``\\sqrt2``, ``\\sqrt{2}`` or ``\\sqrt[3]{2}``."""
        degree = self._group(at, "]") if self.text[(at := self.skip(end)) : at + 1] == "[" else None
        read = self._argument(degree.end if degree else end)
        return read and _Read(read.end, v.root(read.value, degree.value) if degree else v.root(read.value))

    def _argument(self, position: int, whole_number: bool = False) -> _Read | None:
        """What a command takes next: a group, a command, a letter, or one digit (or a whole number)."""
        at = self.skip(position)
        char = self.text[at : at + 1]
        if number := n.DIGITS.match(self.text, at):
            said = number[0] if whole_number else char
            return _Read(at + len(said), v.constant(float(said)))
        if char.isascii() and char.isalpha():
            return _Read(at + 1, v.letter(char))
        read = self._atom(at) if char and char in "\\{(√π" else None
        if read and read.value:
            self.formulas.append(Formula(at, read.end, read.value))
        return read

    def _function(self, name: str, end: int) -> _Read | None:
        """``\\sin^2 2x``: the argument goes as far as factors without a sign between them."""
        base = self._argument(end + 1) if name == "log" and self.text[end : end + 1] == "_" else None
        end = base.end if base else end
        sign = n.EXPONENT.match(self.text, end)
        exponent = self._exponent(sign.end()) if sign else None
        argument = self._power(exponent.end if exponent else end)
        while argument and self._continues(argument.end, at := self.skip(argument.end)):
            if not (more := self._power(at)):
                break
            argument = _Read(more.end, v.multiply(argument.value, more.value))
        if argument is None:
            return None
        raised = exponent.value if exponent else None
        if raised == v.constant(-1) and name in v.INVERSES:
            name, raised = v.INVERSES[name], None
        value = v.logarithm(argument.value, base.value) if base else v.each(v.FUNCTIONS[name], argument.value)
        return _Read(argument.end, v.power(value, raised) if raised else value)

    def _continues(self, end: int, at: int) -> bool:
        """True if the argument of a function goes on at ``at``."""
        name = n.NAME.match(self.text, at) or n.WORD.match(self.text, at)
        if self.text[at : at + 1] == "(" or (name and name[0].lstrip("\\") in v.FUNCTIONS):
            return False
        return self._joins(end, at)


def _repeating(decimal: str) -> float:
    """``6.1\\overline{6}`` as a float."""
    head, _, cycle = decimal.partition("\\overline")
    digits = cycle.strip(" {}")[:15]
    head = n.NO_DIGIT.sub("", head)
    places = len(head.partition(".")[2])
    return float(head) + int(digits) / (10 ** len(digits) - 1) / 10**places

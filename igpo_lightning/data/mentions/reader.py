"""Reads formulas in running text by recursive descent, and notes what each part of them is worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from igpo_lightning.data.mentions import notation as n
from igpo_lightning.data.mentions import values as v
from igpo_lightning.data.mentions.operands import Formula, Operands, Read
from igpo_lightning.data.mentions.values import Value
from igpo_lightning.rewards.vocabulary import SPELLED

_MAX_RUN = 8  # terms or factors whose runs are looked at


_Item = tuple[int, int, Value | None]


class Reader(Operands):
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
        """Index behind the spaces at ``position``."""
        begins = self.text[position : position + 1] in n.GAP_BEGINS
        return gap.end() if begins and (gap := n.GAP.match(self.text, position)) else position

    def _operand(self, position: int) -> int:
        """Where an operand begins, behind spaces and a sign of money."""
        at = self.skip(position)
        begins = self.text[at : at + 1] in n.MONEY_BEGINS
        return sign.end() if begins and (sign := n.MONEY.match(self.text, at)) else at

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

    def sum(self, position: int) -> Read | None:
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
        return Read(position, self._note(terms, v.add)) if terms else None

    def _signed(self, sign: re.Match[str] | None, value: Value | None) -> Value | None:
        if sign is None:
            return value
        if sign["either"] or sign["neither"]:
            negative = (self.plus_minus < 0) == bool(sign["either"])
        else:
            negative = bool(sign["minus"])
        return v.negate(value) if negative else value

    def _product(self, position: int) -> Read | None:
        first = self._power(position)
        if first is None:
            return None
        factors = [(self._operand(position), first.end, first.value)]
        while following := self._factor(factors[-1][1]):
            factors.append(following)
        return Read(factors[-1][1], self._note(factors, v.multiply))

    def _factor(self, end: int) -> _Item | None:
        """Next factor of the product that ends at ``end``."""
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
        if "\n" in between or (letter and not self._is_symbol(at)):
            return False
        return n.LAST_WORD.search(self.text[max(0, end - 8) : end]) is None

    def _is_symbol(self, at: int) -> bool:
        """True if the letters at ``at`` are one, or a name of mathematics: "2 sqrt(3)", "12 pi"."""
        word = n.WORD.match(self.text, at)
        return word is not None and (len(word[0]) == 1 or word[0] in v.FUNCTIONS or word[0] in SPELLED)

    # ------------------------------------------------------------ powers and what they are made of

    def _power(self, position: int) -> Read | None:
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
                return Read(end, value)

    def _exponent(self, at: int) -> Read | None:
        sign = n.SIGN.match(self.text, at)
        read = self._argument(sign.end() if sign else at, whole_number=True)
        return read and Read(read.end, self._signed(sign, read.value))

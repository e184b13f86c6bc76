"""Names in a formula: letters, indices, derivatives, words of capitals."""

from __future__ import annotations

from collections.abc import Sequence

from igpo_lightning.rewards.cursor import Cursor, NotUnderstood
from igpo_lightning.rewards.tokens import Token
from igpo_lightning.rewards.trees import Tree
from igpo_lightning.rewards.unit_names import UNITS
from igpo_lightning.rewards.vocabulary import listed
from igpo_lightning.rewards.words import NUMBER_WORDS

_CONSTANTS = {"e": "e", "i": "i", "\\pi": "pi", "\\infty": "infinity"}
ACCENTS = listed(
    "\\dot \\ddot \\bar \\hat \\vec \\tilde \\overline \\widehat \\overrightarrow \\mathbb \\widetilde "
    "\\overleftrightarrow \\dddot \\breve \\check"
)
FIGURES = frozenset(["\\angle", "\\triangle"])


class NameReader(Cursor):
    """Reads names with their accents, indices and primes, and derivatives as names."""

    def name(self, token: Token) -> Tree:
        """The name that begins with ``token``, or the constant that it is."""
        text = token.text
        if text == "d" and (found := self.inline_derivative()):
            return found
        if text in ACCENTS:
            key = f"{text}({flat(self.raw()) if self.peek() == '{' else self.take().text})"
        elif text in FIGURES:
            key = text
            while (self.kind() == "name" and self.peek().isupper()) or self.kind() == "word":
                key += self.take().text
        else:
            key = text
        while self.peek() == "\\circ" and self.kind(1) == "name":  # f ∘ g
            self.take()
            key += f"\\circ {self.take().text}"
        if key not in _CONSTANTS and self.peek() == "(" and self.kind(1) == "number" and self.peek(2) == ")":
            self.at += 3  # a value of a function, I(0), is a name of its own
            return ("name", f"{key}({self.tokens[self.at - 2].text})")
        bare = key
        while self.peek() in ("_", "'") or (self.peek() == "^" and self.prime()):
            mark = self.take().text
            if mark == "_":
                key += f"_{flat(self.raw()) if self.peek() == '{' else self.take().text}"
            elif mark == "'":
                key += "'"
            else:
                key += flat(self.raw()) if self.peek() == "{" else self.take().text
        return named(key) if key == bare else ("name", time_derivative(key))

    def prime(self) -> bool:
        """True if an exponent of primes comes next."""
        return self.peek(1) == "'" or (self.peek(1) == "{" and self.peek(2) == "'")

    def inline_derivative(self) -> Tree | None:
        """``dv/dt``."""
        if self.kind() == "name" and self.peek(1) == "/" and self.peek(2) == "d" and self.kind(3) == "name":
            over, under = self.peek(), self.peek(3)
            self.at += 4
            return ("name", f"D1 {over} {under}")
        return None

    def derivative(self) -> Tree | None:
        """``\\frac{d v}{d t}`` and its like, as one name."""
        try:
            over, under = self.raw(), self.raw()
        except NotUnderstood:
            return None
        if over in (["d"], ["\\partial"]) and under[:1] == over:
            raise NotUnderstood("d/dx")
        key = derivative_name(over, under)
        return None if key is None else ("name", key)


def named(text: str) -> Tree:
    if text in _CONSTANTS:
        return ("constant", _CONSTANTS[text])
    return ("name", time_derivative(text))


def letters_of(token: Token) -> str | list[str] | None:
    """A word that may be names side by side: capitals as one name (SRMC), few letters one by one."""
    if token.text.isupper() and token.text.isalpha():
        return [token.text]
    short = len(token.text) <= 4 and not token.upright and token.text.isalpha()
    return token.text if short and token.text not in UNITS and token.text not in NUMBER_WORDS else None


def flat(pieces: Sequence[str]) -> str:
    """A subscript without braces and text commands: E_{1} and E_1 are one name."""
    return "".join(piece for piece in pieces if piece not in ("{", "}", " "))


def derivative_name(over: Sequence[str], under: Sequence[str]) -> str | None:
    """One name for a derivative, from the texts above and below its bar; None if it is none."""
    if not over or not under or over[0] not in ("d", "\\partial") or under[0] != over[0]:
        return None
    above, below = list(over[1:]), list(under[1:])
    order = "1"
    if above[:1] == ["^"]:
        order = above[2] if above[1:2] == ["{"] and above[3:4] == ["}"] else "".join(above[1:2])
        above = above[4:] if above[1:2] == ["{"] else above[2:]
        power = "".join(piece for piece in below[1:] if piece not in "{}")
        if power != f"^{order}":
            return None
        below = below[:1]
    if not above or not order.isdigit() or len(below) != 1 or not below[0].lstrip("\\").isalpha():
        return None
    if any(piece in ("+", "-", "/", "(", "^") for piece in above):
        return None
    return f"D{order} {flat(above)} {below[0]}"


def time_derivative(key: str) -> str:
    """x', and x with a dot, are one name: the first derivative by what is understood."""
    if key.startswith(("\\dot(", "\\ddot(")) and key.endswith(")"):
        return f"D{key.count('d', 0, 3)} {key[key.index('(') + 1 : -1]} ?"
    primes = len(key) - len(key.rstrip("'"))
    return f"D{primes} {key.rstrip(chr(39))} ?" if primes else key

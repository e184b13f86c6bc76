"""Tokens of a formula as a tree. Everything must be understood: what is not raises NotUnderstood.

A tree is nested tuples: ``("number", Fraction)``, ``("name", "x_1")``, ``("constant", "pi")``, and the
operations ``add``, ``mul``, ``div``, ``pow``, ``neg``, ``pm`` (plus or minus), ``call``, ``factorial``,
``binom``, ``abs``, ``floor`` and ``ceil``. A name before a parenthesis is a factor: f(x) is read as f·x on
both sides of a comparison, which keeps different functions and arguments apart well enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from igpo_lightning.rewards.numbers import decimal, repeating
from igpo_lightning.rewards.tokens import FUNCTIONS, Token
from igpo_lightning.rewards.units import UNITS
from igpo_lightning.rewards.words import NUMBER_WORDS

Tree = tuple[Any, ...]

_DEPTH = 40
_CONSTANTS = {"e": "e", "i": "i", "\\pi": "pi", "\\infty": "infinity"}
_CLOSE = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil", "|": "|",
          "\\{": "\\}"}  # fmt: skip
_ACCENTS = frozenset(
    "\\dot \\ddot \\bar \\hat \\vec \\tilde \\overline \\widehat \\overrightarrow \\mathbb \\widetilde "
    "\\overleftrightarrow \\dddot \\breve \\check".split()
)
_TIMES = frozenset(["*", "\\cdot", "\\times"])
_FIGURES = frozenset(["\\angle", "\\triangle"])


class NotUnderstood(ValueError):
    """A token has no meaning where it stands."""


def parse(tokens: Sequence[Token]) -> Tree:
    """The tree of a formula.

    Raises:
        NotUnderstood: A token is unknown or in the wrong place, or the formula is nested too deeply.
    """
    parser = _Parser(list(tokens))
    tree = parser.sum()
    if parser.at < len(parser.tokens):
        raise NotUnderstood(parser.tokens[parser.at].text)
    return tree


def names(tree: Tree) -> set[str]:
    """All names in ``tree``."""
    if tree[0] == "name":
        return {tree[1]}
    return set().union(*(names(part) for part in tree[1:] if isinstance(part, tuple)), set())


def has(tree: Tree, *kinds: str) -> bool:
    """True if an operation or constant of these names occurs in ``tree``."""
    if tree[0] in kinds or (tree[0] == "constant" and tree[1] in kinds):
        return True
    return any(has(part, *kinds) for part in tree[1:] if isinstance(part, tuple))


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at, self.depth, self.bars, self.arguments = tokens, 0, 0, 0, 0

    # ------------------------------------------------------------ tokens

    def peek(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at].text if at < len(self.tokens) and self.tokens[at].kind != "word" else ""

    def kind(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at].kind if at < len(self.tokens) else ""

    def take(self) -> Token:
        if self.at >= len(self.tokens):
            raise NotUnderstood("the end")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, text: str) -> None:
        if self.take().text != text:
            raise NotUnderstood(text)

    # ------------------------------------------------------------ operators, weakest first

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > _DEPTH:
            raise NotUnderstood("nested too deeply")
        terms = [self.product()]
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            sign = self.take().text
            term = self.product()
            term = ("pm", term) if sign in ("\\pm", "\\mp") else term
            terms.append(term if sign in ("+", "\\pm") else ("neg", term))
        self.depth -= 1
        return ("add", *terms) if len(terms) > 1 else terms[0]

    def product(self) -> Tree:
        factors = [self.signed()]
        while True:
            if self.peek() in _TIMES:
                self.take()
                factors.append(self.signed())
            elif self.peek() == "/":
                self.take()
                left = _product(factors)
                factors = [("div", left, self.divisor(left))]
            elif self.starts_factor():
                factors.append(self.power())
            else:
                return _product(factors)

    def divisor(self, over: Tree) -> Tree:
        """What stands below a slash: t/RC is t/(RC), while 1/2 x is half of x."""
        under = self.signed()
        if over[0] == "number" and under[0] == "number":
            return under
        factors = [under]
        while self.kind() == "name" and self.peek() not in _FIGURES:
            factors.append(self.power())
        return _product(factors)

    def signed(self) -> Tree:
        if self.peek() in ("+", "-", "\\pm", "\\mp"):
            self.depth += 1
            if self.depth > _DEPTH:
                raise NotUnderstood("nested too deeply")
            sign = self.take().text
            inner = self.signed()
            self.depth -= 1
            tree = ("pm", inner) if sign in ("\\pm", "\\mp") else inner
            return ("neg", tree) if sign in ("-", "\\mp") else tree
        return self.power()

    def starts_factor(self) -> bool:
        kind, text = self.kind(), self.peek()
        if kind in ("name", "function"):
            return True
        if kind == "word":
            return _letters(self.tokens[self.at]) is not None
        if text == "|":
            return self.bars == 0
        return (
            text in ("(", "{", "[", "\\frac", "\\binom", "\\lfloor", "\\lceil", *_ACCENTS, *_FIGURES)
        )

    def power(self) -> Tree:
        base = self.postfix(self.atom())
        while self.peek() == "^":
            self.take()
            base = self.postfix(("pow", base, self.argument(whole_number=True, sign=True)))
        return base

    def postfix(self, tree: Tree) -> Tree:
        while self.peek() == "!" or (self.peek() == "\\degree" and self.arguments):
            if self.take().text == "!":
                if self.peek() == "!":
                    raise NotUnderstood("!!")
                tree = ("factorial", tree)
            else:
                tree = ("mul", tree, ("div", ("constant", "pi"), ("number", Fraction(180))))
        return tree

    # ------------------------------------------------------------ operands

    def atom(self) -> Tree:
        token = self.take()
        text = token.text
        if token.kind == "number":
            return self.number(token)
        if token.kind == "function":
            return self.function(text)
        if token.kind == "word":
            return self.word(token)
        if text in ("(", "{", "[", "|", "\\lfloor", "\\lceil"):
            return self.group(text)
        if text == "\\frac":
            return self.fraction()
        if text == "\\binom":
            return ("binom", self.argument(), self.argument())
        if token.kind == "name" or text in _ACCENTS or text in _FIGURES:
            return self.name(token)
        raise NotUnderstood(text)

    def group(self, opening: str) -> Tree:
        self.bars, bars = (1 if opening == "|" else 0), self.bars
        inner = self.sum()
        if opening == "{" and self.peek() == "\\choose":
            self.take()
            inner = ("binom", inner, self.sum())
        self.bars = bars
        self.expect(_CLOSE[opening])
        kind = {"|": "abs", "\\lfloor": "floor", "\\lceil": "ceil"}.get(opening)
        return (kind, inner) if kind else inner

    def number(self, token: Token) -> Tree:
        if self.peek() == "\\overline" and "." in token.text:
            self.take()
            self.expect("{")
            value = repeating(token.text, self.take().text)
            self.expect("}")
            if value is None:
                raise NotUnderstood("repeating decimal")
            return ("number", value)
        value = decimal(token.text)
        if value is None or self.kind() == "number" and self.peek(1) != "/":
            raise NotUnderstood(token.text)
        whole = token.text.isdigit()
        if whole and self.peek() == "\\frac":
            start = self.at
            self.take()
            part = self.fraction()
            if part[0] == "div" and _proper(part):
                return ("add", ("number", value), part)
            self.at = start
        elif self.kind() == "number":  # 2 1/2
            part = (
                "div",
                *(("number", decimal(self.tokens[self.at + k].text)) for k in (0, 2) if self.more(k)),
            )
            if not whole or len(part) != 3 or self.kind(2) != "number" or not _proper(part):
                raise NotUnderstood(token.text)
            self.at += 3
            return ("add", ("number", value), part)
        return ("number", value)

    def more(self, ahead: int) -> bool:
        return self.at + ahead < len(self.tokens) and self.tokens[self.at + ahead].kind == "number"

    def fraction(self) -> Tree:
        start = self.at
        derivative = self.derivative()
        if derivative is not None:
            return derivative
        self.at = start
        return ("div", self.argument(), self.argument())

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

    def raw(self) -> list[str]:
        """The texts of a braced argument."""
        self.expect("{")
        inner: list[str] = []
        depth = 1
        while True:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token.text, 0)
            if depth == 0:
                return inner
            inner.append(token.text)

    def argument(self, whole_number: bool = False, sign: bool = False) -> Tree:
        """One TeX argument: a group, or a single token; \\frac12 takes one digit each."""
        if self.peek() == "{":
            self.take()
            return self.group("{")
        if whole_number and self.peek() == "(":
            self.take()
            return self.group("(")
        if self.kind() == "number" and not whole_number and len(self.peek()) > 1:
            token = self.take()
            rest = token._replace(text=token.text[1:], start=token.start + 1)
            self.tokens[self.at - 1 : self.at] = [token._replace(text=token.text[0]), rest]
            if not token.text[0].isdigit():
                raise NotUnderstood(token.text)
            return ("number", Fraction(token.text[0]))
        if self.kind() == "number":
            return ("number", decimal(self.take().text) or Fraction(0))
        if sign and self.peek() in ("-", "+"):
            return ("neg", self.argument(True)) if self.take().text == "-" else self.argument(True)
        return self.atom()

    def function(self, text: str) -> Tree:
        name = text.lstrip("\\")
        if name not in FUNCTIONS:
            raise NotUnderstood(text)
        if name == "sqrt":
            order: Tree = ("number", Fraction(2))
            if self.peek() == "[":
                self.take()
                order = self.group("[")
            return ("pow", self.argument(whole_number=True), ("div", ("number", Fraction(1)), order))
        base = power = None
        while self.peek() in ("^", "_"):
            if self.take().text == "^":
                power = self.argument(whole_number=True, sign=True)
            else:
                base = self.argument(whole_number=True)
        self.arguments += 1
        tree: Tree = ("call", name, self.operand(), *((base,) if base else ()))
        self.arguments -= 1
        if power == ("neg", ("number", Fraction(1))):
            return ("call", f"arc{name}", tree[2])
        return tree if power is None else ("pow", tree, power)

    def operand(self) -> Tree:
        """What a function is applied to: a bracket, or the factors up to the next operator."""
        if self.peek() in ("(", "[", "{", "|"):
            return self.group(self.take().text)
        factors = [self.signed()]
        while self.starts_factor() and self.kind() != "function":
            factors.append(self.power())
        return _product(factors)

    def word(self, token: Token) -> Tree:
        letters = _letters(token)
        if letters is None:
            raise NotUnderstood(token.text)
        if len(letters) == 1:
            return self.name(token._replace(text=letters[0]))
        return _product([_constant_or_name(letter) for letter in letters])

    # ------------------------------------------------------------ names

    def name(self, token: Token) -> Tree:
        text = token.text
        if text == "d" and (found := self.inline_derivative()):
            return found
        if text in _ACCENTS:
            key = f"{text}({_flat(self.raw()) if self.peek() == '{' else self.take().text})"
        elif text in _FIGURES:
            key = text
            while self.kind() == "name" and self.peek().isupper() or self.kind() == "word":
                key += self.take().text
        else:
            key = text
        if self.peek() == "(" and self.kind(1) == "number" and self.peek(2) == ")":
            self.at += 3  # a value of a function, I(0), is a name of its own
            return ("name", f"{key}({self.tokens[self.at - 2].text})")
        bare = key
        while self.peek() in ("_", "'") or (self.peek() == "^" and self.prime()):
            mark = self.take().text
            if mark == "_":
                key += f"_{_flat(self.raw()) if self.peek() == '{' else self.take().text}"
            elif mark == "'":
                key += "'"
            else:
                key += _flat(self.raw()) if self.peek() == "{" else self.take().text
        return _constant_or_name(key) if key == bare else ("name", time_derivative(key))

    def prime(self) -> bool:
        return self.peek(1) == "'" or (self.peek(1) == "{" and self.peek(2) == "'")

    def inline_derivative(self) -> Tree | None:
        """``dv/dt``."""
        if self.kind() == "name" and self.peek(1) == "/" and self.peek(2) == "d" and self.kind(3) == "name":
            over, under = self.peek(), self.peek(3)
            self.at += 4
            return ("name", f"D1 {over} {under}")
        return None


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
    return f"D{order} {_flat(above)} {below[0]}"


def time_derivative(key: str) -> str:
    """x', and x with a dot, are one name: the first derivative by what is understood."""
    if key.startswith(("\\dot(", "\\ddot(")) and key.endswith(")"):
        return f"D{key.count('d', 0, 3)} {key[key.index('(') + 1 : -1]} ?"
    primes = len(key) - len(key.rstrip("'"))
    return f"D{primes} {key.rstrip(chr(39))} ?" if primes else key


def _product(factors: list[Tree]) -> Tree:
    return ("mul", *factors) if len(factors) > 1 else factors[0]


def _constant_or_name(text: str) -> Tree:
    if text in _CONSTANTS:
        return ("constant", _CONSTANTS[text])
    return ("name", time_derivative(text))


def _letters(token: Token) -> str | list[str] | None:
    """A word that may be names side by side: capitals as one name (SRMC), few letters one by one."""
    if token.text.isupper() and token.text.isalpha():
        return [token.text]
    short = len(token.text) <= 4 and not token.upright and token.text.isalpha()
    return token.text if short and token.text not in UNITS and token.text not in NUMBER_WORDS else None


def _flat(pieces: Sequence[str]) -> str:
    """A subscript without braces and text commands: E_{1} and E_1 are one name."""
    return "".join(piece for piece in pieces if piece not in ("{", "}", " "))


def _proper(part: Tree) -> bool:
    """True for a fraction of whole numbers below 1, as in 7 3/4."""
    over, under = part[1], part[2]
    if over[0] != "number" or under[0] != "number":
        return False
    return over[1].denominator == under[1].denominator == 1 and 0 < over[1] < under[1]

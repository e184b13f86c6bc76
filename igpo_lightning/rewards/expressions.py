"""Tokens of a formula as a tree. Everything must be understood.

A name before a parenthesis is a factor: f(x) is read as f·x on
both sides of a comparison, which keeps different functions and arguments apart well enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from igpo_lightning.rewards.cursor import NotUnderstood
from igpo_lightning.rewards.naming import ACCENTS, FIGURES, NameReader, letters_of
from igpo_lightning.rewards.numbers import decimal, repeating
from igpo_lightning.rewards.tokens import FUNCTIONS, Token
from igpo_lightning.rewards.trees import Tree, product, proper

_DEPTH = 40
_CLOSE = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil", "|": "|",
          "\\{": "\\}"}  # fmt: skip
_TIMES = frozenset(["*", "\\cdot", "\\times"])
_SIGNS = frozenset(["+", "-", "\\pm", "\\mp"])


def tree_of(tokens: Sequence[Token]) -> Tree | None:
    """The tree of a formula; None if a token is unknown or in the wrong place, or it is nested too deeply."""
    if not tokens or (len(tokens) == 1 and tokens[0].kind == "word" and not tokens[0].text.isupper()):
        return None  # a word alone is no product of letters
    parser = _Parser(list(tokens))
    try:
        tree = parser.sum()
        if parser.peek() == "\\choose":
            parser.take()
            tree = ("binom", tree, parser.sum())
    except NotUnderstood:
        return None
    return tree if parser.at == len(parser.tokens) else None


class _Parser(NameReader):
    """Reads by descent; the weakest operator is at the top."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.depth = 0
        self.bars = 0  # within |…|, where another bar closes
        self.arguments = 0  # within what a function is applied to

    # ------------------------------------------------------------ operators, weakest first

    def sum(self) -> Tree:
        terms = [self.product()]
        while self.peek() in _SIGNS:
            terms.append(_with_sign(self.take().text, self.product()))
        return ("add", *terms) if len(terms) > 1 else terms[0]

    def product(self) -> Tree:
        factors = [self.signed()]
        while True:
            if self.peek() in _TIMES:
                self.take()
                factors.append(self.signed())
            elif self.peek() == "/":
                self.take()
                left = product(factors)
                factors = [("div", left, self.divisor(left))]
            elif self.starts_factor():
                factors.append(self.power())
            else:
                return product(factors)

    def divisor(self, over: Tree) -> Tree:
        """Denominator below a slash: t/RC is t/(RC), while 1/2 x is half of x."""
        under = self.signed()
        if over[0] == "number" and under[0] == "number":
            return under
        factors = [under]
        while self.kind() == "name" and self.peek() not in FIGURES:
            factors.append(self.power())
        return product(factors)

    def signed(self) -> Tree:
        self.depth += 1
        if self.depth > _DEPTH:
            raise NotUnderstood("nested too deeply")
        sign = self.take().text if self.peek() in _SIGNS else ""
        if sign and self.peek() in ("+", "-"):
            raise NotUnderstood("two signs")
        tree = _with_sign(sign, self.signed()) if sign else self.power()
        self.depth -= 1
        return tree

    def starts_factor(self) -> bool:
        kind, text = self.kind(), self.peek()
        if kind in ("name", "function"):
            return True
        if kind == "number":  # 3!2!
            return self.peek(1) == "!" and self.tokens[self.at - 1].text == "!"
        if kind == "word":
            return letters_of(self.tokens[self.at]) is not None
        if text == "|":
            return self.bars == 0
        return text in ("(", "{", "[", "\\frac", "\\binom", "\\lfloor", "\\lceil", *ACCENTS, *FIGURES)

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
        if token.kind == "name" or text in ACCENTS or text in FIGURES:
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
            cycle = self.take().text
            self.expect("}")
            if not cycle.isdigit():
                raise NotUnderstood(cycle)
            return ("number", repeating(token.text, cycle))
        value = decimal(token.text)
        if value is None or (self.kind() == "number" and self.peek(1) != "/"):
            raise NotUnderstood(token.text)
        whole = token.text.isdigit()
        if whole and self.peek() == "\\frac":
            start = self.at
            self.take()
            part = self.fraction()
            if part[0] == "div" and proper(part):
                return ("add", ("number", value), part)
            self.at = start
        elif self.kind() == "number":  # 2 1/2
            over = self.take()
            self.expect("/")
            part = ("div", ("number", decimal(over.text)), ("number", decimal(self.take().text)))
            if not whole or self.tokens[self.at - 1].kind != "number" or not proper(part):
                raise NotUnderstood(token.text)
            return ("add", ("number", value), part)
        return ("number", value)

    def fraction(self) -> Tree:
        start = self.at
        if (derivative := self.derivative()) is not None:
            return derivative
        self.at = start
        return ("div", self.argument(), self.argument())

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
            if self.peek() == "[":
                self.take()
                order = self.group("[")
                return ("root", self.argument(whole_number=True), order)
            return ("pow", self.argument(whole_number=True), ("number", Fraction(1, 2)))
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
        """Argument of a function: a bracket, or the factors up to the next operator."""
        if self.peek() in ("(", "[", "{", "|"):
            return self.group(self.take().text)
        factors = [self.signed()]
        while self.starts_factor() and self.kind() != "function":
            factors.append(self.power())
        return product(factors)

    def word(self, token: Token) -> Tree:
        letters = letters_of(token)
        if letters is None:
            raise NotUnderstood(token.text)
        if len(letters) == 1:
            return self.name(token._replace(text=letters[0]))
        apart = [token._replace(kind="name", text=letter) for letter in letters]
        self.tokens[self.at - 1 : self.at] = apart
        return self.name(apart[0])


def _with_sign(sign: str, tree: Tree) -> Tree:
    tree = ("pm", tree) if sign in ("\\pm", "\\mp") else tree
    return ("neg", tree) if sign in ("-", "\\mp") else tree

"""Counts what a hint tells of its answer, by other means than the package hides it.

The answer and its parts are read by math-verify and sympy. What would tell them is then written down in
every spelling that people use, and looked for; calculations are worked out by Python; and each formula of
the hint is put to the verifier as if it were a final answer.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Iterator
from fractions import Fraction

import sympy
from math_verify import parse

GAP = "▯"
"""Stands for a token that is hidden."""

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SEPARATOR = r"(?:,\\!|\{,\}|\\,|, ?|[ ~'’\u202f])?"


def values(answer: str) -> list[sympy.Basic]:
    """The answer and its elements, bounds or entries, as sympy reads them."""
    found = [item for item in parse(f"${answer}$", parsing_timeout=None) if isinstance(item, sympy.Basic)]
    found += [item for item in parse(f"${answer}$", parsing_timeout=None) if hasattr(item, "tolist")]
    result: list[sympy.Basic] = []
    while found:
        item = found.pop(0)
        if hasattr(item, "tolist"):
            found += list(item)
        elif isinstance(item, sympy.Interval):
            found += [item.start, item.end]
        elif isinstance(item, sympy.FiniteSet | sympy.Tuple | sympy.Union | sympy.And | sympy.Or):
            found += list(item.args)
        elif isinstance(item, sympy.core.relational.Relational):
            found.append(item.rhs if item.lhs.is_Symbol else item.lhs - item.rhs)
        elif item not in (sympy.oo, -sympy.oo):
            result.append(item)
    return result


def in_words(number: int) -> str:
    """122 as "one hundred twenty two"."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = f" {in_words(number % size)}" if number % size else ""
            return f"{in_words(number // size)} {name}{rest}"
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")


def spellings(value: Fraction) -> Iterator[tuple[str, str]]:
    """(kind, pattern) of the ways to write a number, sign aside."""
    if value.denominator == 1:
        digits = str(value.numerator)
        groups = [digits[max(0, end - 3) : end] for end in range(len(digits), 0, -3)][::-1]
        yield "digits", rf"(?<![\d.])(?<!\d,){_SEPARATOR.join(groups)}(?:\.0+)?(?![\d])(?!\.\d)(?!,\d{{3}})"
        if value < 10**12:
            words = in_words(int(value)).replace(" ", r"[\s-]+(?:and\s+)?")
            yield (
                "number words",
                rf"(?i)\b{words}\b(?![\s-]+(?:{'|'.join([*_ONES[1:], 'hundred', 'thousand'])})\b)",
            )
        if value % 12 == 0 and 0 < value <= 144:
            yield "dozens", rf"(?i)\b(?:{value // 12}|{in_words(int(value) // 12)})\s+dozen"
    for size, name in ((1000, "thousand"), (10**6, "million"), (10**9, "billion")):
        if value >= size and (value / size * 1000).denominator == 1:
            yield "scale words", rf"(?i)(?<![\d.]){_decimal(value / size)}[\s~-]*(?:\\text\{{\s*)?{name}"
    if _decimal(value) and value.denominator > 1:
        yield "decimal", rf"(?<![\d.]){re.escape(_decimal(value).lstrip('0'))}0*(?!\d)"
        yield "decimal", rf"(?<![\d.]){re.escape(_decimal(value))}0*(?!\d)"
        yield "percent", rf"(?<![\d.]){re.escape(_decimal(value * 100) or '-')}\s*(?:\\?%|percent)"
    yield from ((f"word {name}", rf"(?i)\b{name}s?\b") for name in _NAMED.get(value, ()))


_NAMED = {
    Fraction(1, 2): ["half"], Fraction(1, 3): ["third"], Fraction(2, 3): ["two[- ]thirds"],
    Fraction(1, 4): ["quarter"], Fraction(3, 4): ["three[- ](?:quarters|fourths)"], Fraction(12): ["a dozen"],
}  # fmt: skip


def _decimal(value: Fraction) -> str:
    """The number as a decimal of at most six places; empty if it has more."""
    if (value * 10**6).denominator > 1:
        return ""
    text = f"{value.numerator * 10**6 // value.denominator:07d}"
    return f"{text[:-6]}.{text[-6:]}".rstrip("0").rstrip(".")


# ---------------------------------------------------------------- calculations

_CALCULATION = re.compile(r"[\d(][\d\s.,()+*/×÷x–$-]*[\d)]")
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{\s*([\d,]+)\s*\}|(\d))\s*(?:\{\s*([\d,]+)\s*\}|(\d))")
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def _stands_alone(text: str, match: re.Match[str]) -> bool:
    """True for a calculation that is no piece of a longer one, or of algebra."""
    before, after = text[: match.start()], text[match.end() :]
    joined = re.search(r"[-+*/^×÷–}.\\]\s*\Z|[A-Za-z]\Z", before) or re.match(
        r"\s*[-+*/^×÷\\(]|[A-Za-z]", after
    )
    return not joined and re.search(r"\d[\s$()]*[-+*/×÷x–]", match[0]) is not None


def worked_out(text: str) -> Fraction | None:
    """What a calculation in plain arithmetic comes to."""
    plain = re.sub(r"[\s$,]", "", text).translate(str.maketrans("×÷x–", "*/*-"))
    try:
        return _evaluate(ast.parse(re.sub(r"\b0+(?=\d)", "", plain), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, KeyError, MemoryError, RecursionError, TypeError):
        return None


def _evaluate(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp):
        return Fraction(_OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if not isinstance(node, ast.Constant):
        raise ValueError
    return Fraction(str(node.value))


# ---------------------------------------------------------------- the count

_BREAK = re.compile(
    r"\$|\\\[|\\\]|\\\(|\\\)|\\\\|=|&|;|<|>|:(?!\s*\d)|\n|\.\s|\.$|,(?!\d{3})|,(?=\d{3}\d)"
    r"|\\(?:leq?|geq?|approx|Rightarrow|implies|in|quad|text|mbox|begin|end|neq?|to|boxed|equiv)(?![A-Za-z])"
    rf"|(?<![A-Za-z\\])[A-Za-z]{{2,}}(?![A-Za-z])|{GAP}"
)


def numbers_told(hint: str, answer: str) -> list[tuple[str, str]]:
    """(kind, text) of every number in ``hint`` that is the answer or one of its parts, sign aside."""
    found = []
    for value in {_rational(value) for value in values(answer)} - {None}:
        for kind, pattern in spellings(value):
            found += [(kind, match[0]) for match in re.finditer(pattern, hint)]
        if value.denominator > 1:
            for match in _FRACTION.finditer(hint):
                top, bottom = (int(part.replace(",", "") or 0) for part in match.groups() if part)
                if bottom and Fraction(top, bottom) == value:
                    found.append(("fraction", match[0]))
        for match in _CALCULATION.finditer(hint):
            if _stands_alone(hint, match) and worked_out(match[0]) in (value, -value):
                found.append(("calculation", match[0]))
    return found


def _rational(value: sympy.Basic) -> Fraction | None:
    return abs(Fraction(int(value.p), int(value.q))) if getattr(value, "is_Rational", False) else None


def words_told(hint: str, answer: str) -> list[tuple[str, str]]:
    """The words of a word answer, in any letters, in singular or plural."""
    plain = re.sub(r"\\(?:text|textbf|mbox|mathrm)\s*\{([^{}]*)\}", r"\1", answer)
    found = []
    for part in re.split(r",|\band\b", plain):
        word = part.strip(" .()")
        if re.fullmatch(r"[A-Za-z][A-Za-z' -]+", word):
            found += [
                ("word", m[0]) for m in re.finditer(rf"(?i)(?<![A-Za-z\\]){word}(?:e?s)?(?![a-z])", hint)
            ]
        elif re.fullmatch(r"[A-Z]", word):
            found += [
                ("option", m[0]) for m in re.finditer(rf"\({word}\)|(?<![A-Za-z\\]){word}(?![A-Za-z])", hint)
            ]
    return found


def formulas_told(hint: str, answer: str, verifier) -> list[tuple[str, str]]:
    """Pieces of ``hint`` that the verifier takes for the answer, as a final answer."""
    pieces = {piece.strip(" ,.&").rstrip("\\") for piece in _BREAK.split(hint)}
    asked = [piece for piece in pieces if piece and len(piece) <= 200 and re.search(r"\w", piece)]
    return [("accepted", piece) for piece in sorted(asked) if verifier.equal(piece, answer)]


def is_arithmetic(text: str) -> bool:
    """True if nothing but numbers and + - * / stand in ``text``."""
    bare = re.sub(r"\\(?:cdot|times|div|left|right|[dt]?frac|,|!|\$|%| )|\^\{?\\circ\}?", "", text)
    return re.fullmatch(r"[\d\s.,$%(){}*/+×÷·−–x-]+", bare) is not None

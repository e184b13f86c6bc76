"""Wrong answers made from right ones: each differs from its gold answer by one slip."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_POWER = re.compile(r"\^\s*\{?\s*(\d)\s*\}?")
_UNIT = re.compile(r"\\(?:text|mbox)\s*\{\s*([a-z]+)\s*\}")
_BRACKETED = re.compile(r"\s*(?:\\left)?\s*[(\[].*[)\]]\s*", re.S)
_OTHER_UNIT = {"cm": "m", "inches": "feet", "cents": "dollars", "degrees": "radians"}
_GROUP = re.compile(r"(?<=\d),\\?!?\s*(?=\d{3}(?!\d))")


def mutations(gold: str) -> Iterator[tuple[str, str]]:
    """(kind of slip, wrong answer) for everything that can be made of ``gold``."""
    bare = _GROUP.sub("", gold)
    word = bool(re.fullmatch(r"\\text\{.*\}|[A-Za-z= ]+", bare))
    if word:
        yield "another word", r"\text{north-west}"
    else:
        yield from _numbers(bare)
        yield from _whole(bare)
    yield "a number instead", "917.5"
    yield from _hedges(bare)
    yield "an alternative", rf"{gold} \text{{ or }} 917"
    yield "one more element", f"{gold}, 917"
    yield from _lists(bare)
    yield from _brackets(bare)
    for match in _UNIT.finditer(gold):
        if match[1] in _OTHER_UNIT:
            yield "another unit", f"{gold[: match.start(1)]}{_OTHER_UNIT[match[1]]}{gold[match.end(1) :]}"


def _hedges(gold: str) -> Iterator[tuple[str, str]]:
    """Statements that end in ``gold`` and say something else before it."""
    yield "a false equation", rf"917 \text{{ pins}} = {gold}"
    if re.fullmatch(r"\\text\{[A-Za-z ]{3,}\}", gold):
        yield "words equal to others", rf"\text{{north-west}} = {gold}"
    if re.fullmatch(r"\\text\{\([A-I]\)\}|[A-I]", gold):
        yield "two options", rf"\text{{(J)}} {gold}"
        yield "two options", rf"{gold} \text{{: J}}"
    if re.fullmatch(r"[1-9]\d*", gold):
        yield "about equal", rf"{int(gold) + 1} \approx {gold}"
        yield "about equal", rf"{gold} \approx {int(gold) - 1}"


def _numbers(gold: str) -> Iterator[tuple[str, str]]:
    for match in _NUMBER.finditer(gold):
        digits = match[0]
        if not digits.strip("0.") and len(_NUMBER.findall(gold)) > 1:
            continue  # 0 within a formula may not count
        raised = digits[:-1] + str((int(digits[-1]) + 1) % 10)
        if float(raised) != float(digits):
            yield "a digit", gold[: match.start()] + raised + gold[match.end() :]
        if float(digits):
            yield "a digit more", f"{gold[: match.start()]}{digits}1{gold[match.end() :]}"
    for match in _POWER.finditer(gold):
        if "\\circ" not in match[0]:
            changed = str((int(match[1]) + 1) % 10)
            yield "an exponent", gold[: match.start(1)] + changed + gold[match.end(1) :]
    for match in _FRACTION.finditer(gold):
        over, under = match[1] or match[2], match[3] or match[4]
        if over.lstrip("-") != under:
            swapped = rf"\frac{{{under}}}{{{over}}}"
            yield "numerator and denominator", gold[: match.start()] + swapped + gold[match.end() :]


def _whole(gold: str) -> Iterator[tuple[str, str]]:
    """Slips in answers that are one formula."""
    if re.search(r"[,=<>]|\\(?:in|cup|text|mbox|begin|pm|circ)(?![a-z])|\\\{|\[|_\{?\d\}?$", gold):
        return
    zero = re.fullmatch(r"[0.]+", gold)
    if not zero:
        yield "sign", f"-({gold})"
        yield "twice as much", f"2({gold})"
    yield "one more", f"{gold} + 1"
    yield "an equation", f"2x = {gold}"
    if re.fullmatch(r"-?\d+(?:\.\d+)?", gold) and float(gold):
        yield "ten times as much", f"{gold}e1"
        yield "millions", rf"{gold}\text{{ million}}"
        yield "sign", gold[1:] if gold.startswith("-") else f"-{gold}"
        yield "imaginary", f"{gold}i"


def _lists(gold: str) -> Iterator[tuple[str, str]]:
    inner, before, after = gold, "", ""
    if _BRACKETED.fullmatch(gold) and not re.search(r"\)\s*(?:\(|\\cup)", gold):
        match = re.fullmatch(r"(\s*(?:\\left)?\s*[(\[])(.*?)(\s*(?:\\right)?\s*[)\]]\s*)", gold, re.S)
        before, inner, after = match.groups()
    if re.search(r"[()\[\]=]", inner) or "," not in inner:
        return
    items = [item.strip() for item in inner.split(",")]
    yield "an element dropped", before + ", ".join(items[1:]) + after
    yield "an element more", before + ", ".join([*items, "917"]) + after
    if before and len(set(items)) > 1:
        yield "swapped", before + ", ".join([*items[1:], items[0]]) + after


def _brackets(gold: str) -> Iterator[tuple[str, str]]:
    if not re.search(r"\\infty|\[|\]|\\cup", gold):
        return
    for at, bracket in enumerate(gold):
        if bracket in "([" and "^" not in gold[max(0, at - 2) : at]:
            yield "a bracket", gold[:at] + ("[" if bracket == "(" else "(") + gold[at + 1 :]
        elif bracket in ")]":
            yield "a bracket", gold[:at] + ("]" if bracket == ")" else ")") + gold[at + 1 :]

"""Layout of an answer: its separators, brackets, rows, relations, and the parts they join."""

from __future__ import annotations

from collections.abc import Sequence

from igpo_lightning.rewards.notation import plain
from igpo_lightning.rewards.tokens import Token, tokenize
from igpo_lightning.rewards.vocabulary import listed

_OPEN = frozenset(["(", "[", "{", "\\{", "\\langle", "\\lfloor", "\\lceil", "\\open"])
_CLOSE = frozenset([")", "]", "}", "\\}", "\\rangle", "\\rfloor", "\\rceil", "\\shut"])
_ENCLOSING = {"(": ")]", "[": "])", "\\{": "\\}", "\\langle": "\\rangle", "\\open": "\\shut"}
_JOINERS = frozenset(["and", "or"])
_SEPARATORS = _JOINERS | {",", ";"}
RELATIONS = frozenset(["=", "<", ">", "\\le", "\\ge", "\\neq", "\\in", "\\approx", "\\equiv"])
ARROWS = listed(
    "\\Rightarrow \\to \\implies \\rightarrow \\Longrightarrow \\iff \\Leftrightarrow \\mapsto \\vee \\wedge "
    "\\neg \\notin \\land \\lor \\lnot ? \\longrightarrow \\therefore \\because"
)
OPTION_LETTERS = frozenset("ABCDEFGHIJ")
"""Letters of the choices of a question."""

_OPTION_WORDS = frozenset(["option", "choice", "answer"])

Tokens = Sequence[Token]


def depths(tokens: Tokens) -> list[int]:
    """For each token the number of brackets around it, its own not counted."""
    found, depth = [], 0
    for token in tokens:
        if token.text in _CLOSE and token.kind == "sign":
            depth -= 1
        found.append(depth)
        if token.text in _OPEN and token.kind == "sign":
            depth += 1
    return found


def balanced(tokens: Tokens) -> bool:
    """True if every bracket has its other half; intervals may close with another kind."""
    around = depths(tokens)
    opened = sum(token.kind == "sign" and token.text in _OPEN for token in tokens)
    closed = sum(token.kind == "sign" and token.text in _CLOSE for token in tokens)
    return opened == closed and min(around, default=0) >= 0


def separate(tokens: Tokens) -> tuple[list[Tokens], set[str]]:
    """(items between commas, semicolons, "and" and "or" outside of brackets, those words that are there)."""
    pieces, found = split_at(tokens, _SEPARATORS)
    return [piece for piece in pieces if piece], set(found) & _JOINERS


def split_at(tokens: Tokens, signs: frozenset[str] | set[str]) -> tuple[list[Tokens], list[str]]:
    """(tokens between ``signs`` outside of brackets, the signs); words in lower case are signs, too."""
    pieces: list[list[Token]] = [[]]
    found = []
    for token, depth in zip(tokens, depths(tokens), strict=True):
        text = token.text.lower() if token.kind == "word" else token.text
        if depth == 0 and token.kind in ("sign", "word") and text in signs:
            pieces.append([])
            found.append(text)
        else:
            pieces[-1].append(token)
    return list(pieces), found


def enclosed(tokens: Tokens) -> tuple[str, str] | None:
    """(opening, closing) if one pair of brackets encloses all ``tokens``, else None."""
    if len(tokens) < 2 or tokens[0].text not in _ENCLOSING or tokens[-1].kind != "sign":
        return None
    if tokens[-1].text not in _CLOSE or any(depth < 1 for depth in depths(tokens)[1:-1]):
        return None
    opening, closing = tokens[0].text, tokens[-1].text
    fits = closing in _ENCLOSING[opening] if len(opening) == 1 else closing == _ENCLOSING[opening]
    return (opening, closing) if fits else None


def rows(tokens: Tokens) -> list[list[Tokens]]:
    """The cells of a matrix, by row."""
    lines, _ = split_at(tokens, {"\\\\"})
    return [split_at(line, {"&"})[0] for line in lines if line]


def option(tokens: Tokens) -> tuple[str, Tokens] | None:
    """(letter, rest) of an option such as "(D) 24", "D. 24" or "option D"; None if it is none."""
    tokens = list(tokens)
    if len(tokens) > 1 and tokens[0].kind == "word" and tokens[0].text.lower() in _OPTION_WORDS:
        tokens = tokens[1:]
    texts = [token.text for token in tokens]
    if len(texts) >= 3 and texts[0] == "(" and texts[1] in OPTION_LETTERS and texts[2] == ")":
        return texts[1], tokens[4 if texts[3:4] in ([":"], ["."]) else 3 :]
    if texts and texts[0] in OPTION_LETTERS and (len(texts) == 1 or texts[1] in (")", ".", ":")):
        return texts[0], tokens[2:]
    return None


def marks_option(tokens: Tokens) -> bool:
    """True if the mark of an option, (B), B. or B:, stands among ``tokens``."""
    return any(_is_mark(tokens, at) for at, token in enumerate(tokens) if token.text in OPTION_LETTERS)


def _is_mark(tokens: Tokens, at: int) -> bool:
    """True if it is no (B) of P(B), and no B of a ratio such as 2A:3B."""
    before, after = tokens[at - 1] if at else None, tokens[at + 1].text if at + 1 < len(tokens) else ""
    if before is None:
        return after in (".", ":", ")")
    if before.text == "(" and after == ")":
        return at < 2 or before.spaced or tokens[at - 2].kind not in ("name", "function")
    return tokens[at].spaced and after in (".", ":") and before.kind in ("word", "number")


# ---------------------------------------------------------------- parts


def parts(answer: str) -> list[str]:
    """The elements of which ``answer`` is made, in the grader's notation; an answer of one part is its own.

    Elements of lists, pairs, vectors, matrices, sets and intervals; the ends of unions; both sides of an
    inequality but its name; the right side of an equation; letter and text of an option. Infinity, which
    tells nothing, is left out.
    """
    text = plain(answer)
    tokens = tokenize(text, thousands=True)
    if not tokens:
        return [text] if text else []
    found: list[str] = []
    for piece in _leaves(tokens, 0):
        part = _text(text, piece)
        if part and part not in found and part.strip("+-") not in ("\\infty",):
            found.append(part)
    return found or [text]


def _text(text: str, piece: Tokens) -> str:
    """Source of ``piece``, text commands whole."""
    start, end = piece[0].start, piece[-1].end
    if len(piece) > 1 and piece[-1].upright:
        end = max(end, text.find("}", end) + 1)
    if len(piece) > 1 and piece[0].upright:
        start = max(0, text.rfind("\\text", 0, start))
    return text[start:end].strip()


def _leaves(tokens: Tokens, depth: int) -> list[Tokens]:
    if not tokens:
        return []
    pieces = _pieces(tokens) if depth < 8 else [tokens]
    if len(pieces) == 1 and len(pieces[0]) == len(tokens):
        return [tokens]
    return [leaf for piece in pieces for leaf in _leaves(piece, depth + 1)]


def _pieces(tokens: Tokens) -> list[Tokens]:
    """``tokens`` taken apart once."""
    items, _ = separate(tokens)
    if len(items) != 1 or len(items[0]) != len(tokens):
        return items
    sides, signs = split_at(tokens, RELATIONS | {"\\cup", "\\setminus"})
    if signs:
        named = {"=", "\\in", "\\approx", "\\equiv"}
        kept = sides[1:] if set(signs) <= named else [side for side in sides if not _is_name(side)]
        return [side for side in kept if side]
    if (brackets := enclosed(tokens)) is not None:
        if brackets[0] == "\\open":
            return [cell for row in rows(tokens[1:-1]) for cell in row if cell]
        return [tokens[1:-1]]
    if (chosen := option(tokens)) is not None and chosen[1]:
        letter = next(token for token in tokens if token.text == chosen[0])
        return [[letter], chosen[1]]
    return [tokens]


def _is_name(tokens: Tokens) -> bool:
    return len(tokens) == 1 and tokens[0].kind == "name"

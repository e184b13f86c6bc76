"""Values that need quotes: for Hydra's grammar, then for the shell."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

from igpo_lightning.cli.hydra_private import Override, Quote, QuotedString

Parse = Callable[[str], Override | None]
"""Reads one override; None if Hydra's grammar does not allow it."""

_PAIRS = {"[": "]", "{": "}", "(": ")"}


def literal(text: str) -> str:
    """``text`` in quotes as Hydra reads them, so that it means itself; interpolations stay what they are."""
    if not reads_as_interpolation(text):
        text = text.replace("${", "\\${")
    return QuotedString(text=text, quote=Quote.double).with_quotes()


def reads_as_interpolation(text: str) -> bool:
    """False if ``text`` holds a ``${`` that OmegaConf can't read, such as that of ``${\\boxed{}}$``."""
    try:
        OmegaConf.create({"text": text})
    except GrammarParseError:
        return False
    return True


def in_shell(key: str, value: str, parse: Parse, *, like: Any = None, sweep: bool = False) -> str | None:
    """``key=value`` as it is typed in a shell so that Hydra takes ``value`` as it stands.

    Args:
        key: With its ``+`` or ``~``.
        like: The key's default: where it is a text, so is the value; where it is a list, the value is
            an item of one.
        sweep: Commas part the values of a sweep.

    Returns:
        None if no quoting makes Hydra read it.
    """
    for candidate in _candidates(value, parse, like, sweep):
        if parse(f"{key}={candidate}") is not None:
            return shlex.quote(f"{key}={candidate}")
    return None


def unclosed(value: str) -> str | None:
    """The quote or bracket at the start of ``value`` that is never closed."""
    name = value[: len(value) - len(value.lstrip("abcdefghijklmnopqrstuvwxyz_"))]
    first = value[len(name) : len(name) + 1]
    if value.startswith("${") and value.count("{") > value.count("}"):
        return "${"
    if first in "'\"" and first and not name:
        return first if len(value) == 1 or not value.endswith(first) else None
    opens_at_start = first == "(" if name else first in _PAIRS
    return first if first and opens_at_start and value.count(first) > value.count(_PAIRS[first]) else None


def split(text: str) -> list[str]:
    """``text`` at its commas, but not at those within brackets or quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for i, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[i - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    return [*parts, text[start:].strip()]


def _candidates(value: str, parse: Parse, like: Any, sweep: bool) -> Iterator[str]:
    if sweep and len(parts := split(value)) > 1:
        yield ",".join(_repaired(part, parse) for part in parts)
    if isinstance(like, list) and not value.startswith("["):
        yield f"[{','.join(_repaired(part, parse) for part in split(value))}]"
    if not isinstance(like, str):
        yield _repaired(value, parse)
    yield literal(value)


def _repaired(value: str, parse: Parse) -> str:
    """``value`` with quotes where it needs them: within a list or a dict, or around all of it."""
    parsed = parse(f"key={value}")
    if value and parsed is not None and not parsed.is_sweep_override():
        return value
    inside = split(value[1:-1])
    if value[:1] == "[" and value[-1:] == "]":
        return f"[{','.join(_repaired(part, parse) for part in inside)}]"
    if value[:1] == "{" and value[-1:] == "}" and all(":" in part for part in inside):
        return f"{{{','.join(_pair(part, parse) for part in inside)}}}"
    return literal(value)


def _pair(text: str, parse: Parse) -> str:
    key, _, value = text.partition(":")
    return f"{key.strip()}: {_repaired(value.strip(), parse)}"


def texts(value: Any) -> Iterator[str]:
    """All strings in a parsed value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from texts(inner)

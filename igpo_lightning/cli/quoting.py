"""Values that need quotes: for Hydra's grammar, then for the shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from typing import Any

from hydra.core.override_parser.types import Override, Quote, QuotedString
from omegaconf import OmegaConf
from omegaconf.errors import GrammarParseError

Parse = Callable[[str], Override | None]
"""Reads one override; None if Hydra's grammar does not allow it."""

_PAIRS = {"[": "]", "{": "}", "(": ")", "${": "}"}
_OPENING = re.compile(r"""(?:[a-z_]*(?=\())?(\$\{|[\[{('"])""")


def literal(text: str) -> str:
    """``text`` in quotes as Hydra reads them, so that it means itself; interpolations stay what they are."""
    if not readable(text):
        text = text.replace("${", "\\${")
    return QuotedString(text=text, quote=Quote.double).with_quotes()


def readable(value: Any) -> bool:
    """False if ``value`` holds a ``${`` that OmegaConf can't read, such as that of ``${\\boxed{}}$``."""
    try:
        OmegaConf.create({"value": value})
    except GrammarParseError:
        return False
    return True


def as_names(text: str, parse: Parse, path: bool) -> str:
    """An override of a name (or several): numbers and booleans in quotes, ``~`` of a ``path`` expanded."""
    key, _, given = text.partition("=")
    named = []
    for part in split(given):
        override = parse(f"key={part}")
        value = override and override.value()
        if isinstance(value, (bool, int, float)):
            part = literal(part)
        elif path and isinstance(value, str) and value.startswith("~"):
            part = literal(os.path.expanduser(value))
        named.append(part)
    return text if named == split(given) else f"{key}={','.join(named)}"


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
    parts = [_repaired(part, parse) for part in split(value)]
    candidates = [",".join(parts)] if sweep and len(parts) > 1 else []
    if isinstance(like, list) and not value.startswith("["):
        candidates.append(f"[{','.join(parts)}]")
    if not isinstance(like, str):
        candidates.append(_repaired(value, parse))
    for candidate in [*candidates, literal(value)]:
        if parse(f"{key}={candidate}") is not None:
            return shlex.quote(f"{key}={candidate}")
    return None


def _repaired(value: str, parse: Parse) -> str:
    """``value`` with quotes where it needs them: within a list or a dict, or around all of it."""
    parsed = parse(f"key={value}")
    if value and parsed is not None and not parsed.is_sweep_override():
        return value
    inside = split(value[1:-1])
    if value[:1] == "[" and value[-1:] == "]":
        return f"[{','.join(_repaired(part, parse) for part in inside)}]"
    if value[:1] == "{" and value[-1:] == "}" and all(":" in part for part in inside):
        pairs = (part.partition(":") for part in inside)
        return f"{{{','.join(f'{key.strip()}: {_repaired(part.strip(), parse)}' for key, _, part in pairs)}}}"
    return literal(value)


def unclosed(value: str) -> str | None:
    """The quote or bracket at the start of ``value`` (or of a function's arguments) that is never closed."""
    found = _OPENING.match(value)
    sign = found[1] if found else ""
    if sign in _PAIRS:
        return sign if value.count(sign) > value.count(_PAIRS[sign]) else None
    return sign if sign and (len(value) == 1 or not value.endswith(sign)) else None


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

"""Configs as plain dicts and lists: keys, values, where an interpolation leads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_REFERENCE = re.compile(r"\$\{(\.*)([\w.-]+)\}")


def lookup(plain: Any, key: str) -> Any:
    """The value at a dotted key of nested dicts and lists; None below an interpolation, which is not known.

    Raises:
        KeyError: There is none.
    """
    for part in key.replace("[", ".").replace("]", "").split("."):
        if is_interpolation(plain):
            return None
        if isinstance(plain, list) and part.isdigit() and int(part) < len(plain):
            plain = plain[int(part)]
        elif isinstance(plain, dict) and part in plain:
            plain = plain[part]
        else:
            raise KeyError(key)
    return plain


def leaves(plain: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of all leaves, with their values."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for name, value in items:
        if isinstance(value, (dict, list)) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def nodes(plain: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All dicts with their dotted keys, outer ones first."""
    if isinstance(plain, dict):
        yield prefix.rstrip("."), plain
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for name, value in items:
        if isinstance(value, (dict, list)):
            yield from nodes(value, f"{prefix}{name}.")


def origin(plain: Any, key: str) -> str:
    """The key that ``key`` takes its value from: that of ``${other}`` is ``other``, and so on."""
    seen = {key}
    while True:
        try:
            value = lookup(plain, key)
        except KeyError:
            return key
        found = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        if not found:
            return key
        dots, name = found.groups()
        above = key.split(".")[: -len(dots)] if dots else []
        key = ".".join([*above, name])
        if key in seen:
            return key
        seen.add(key)


def is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def one_line(error: BaseException | str | None) -> str:
    return " ".join(str(error).split())

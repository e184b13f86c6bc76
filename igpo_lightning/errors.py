"""The error for bad input, and what other errors say in a line."""

from __future__ import annotations


class ConfigError(ValueError):
    """Bad input, said in one line: which key or file, what is wrong, what would be right."""


def first_line(error: BaseException) -> str:
    """The first line of what ``error`` says; the name of its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

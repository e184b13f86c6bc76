"""The error for bad input."""

from __future__ import annotations


class ConfigError(ValueError):
    """Bad input, said in one line: which key or file, what is wrong, what would be right."""

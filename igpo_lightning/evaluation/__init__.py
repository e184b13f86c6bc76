"""Judging a policy by what it decodes."""

from .decoding import Decoded, decode

__all__ = ["Decoded", "decode"]

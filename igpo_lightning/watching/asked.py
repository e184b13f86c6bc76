"""The questions that are asked: of the command line, of a file, or of a person who types them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..checks import ConfigError, existing_path
from ..completing import Asked

_NONE = (
    'prompt: there is none; give prompt="What is 3 + 4 ?", or prompts=FILE (one a line, or JSONL with '
    '"prompt"), or type them: without either, a terminal is asked'
)


def questions(
    question: str | None, prompts: str | None, hint: str | None, answer: str | None = None
) -> list[Asked] | None:
    """The questions of a command line; None if there are none and somebody can be asked.

    Args:
        question, prompts: A text or the path of a file; at most one of them.
        hint: Of all questions that have none of their own.
        answer: The right one, to the question of a command line.

    Raises:
        ConfigError: Both are given, or an answer without that question; neither is, and standard input is no
            terminal; the file can't be read.
    """
    if question is not None and prompts is not None:
        raise ConfigError("prompts: there is a prompt, too; give one of the two")
    if question is not None:
        return [Asked(question, hint, answer)]
    if answer is not None:
        raise ConfigError(f'answer={answer}: to which prompt? In a file, each line has its own "answer"')
    if prompts is not None:
        return read_prompts(existing_path("prompts", prompts), hint)
    if not sys.stdin.isatty():
        raise ConfigError(_NONE)
    return None


def typed(hint: str | None) -> Iterator[Asked]:
    """Questions that a person types, until an empty line or the end of the input."""
    while True:
        try:
            text = input("prompt (an empty line ends)> ").strip()
        except EOFError:
            return
        if not text:
            return
        yield Asked(text, hint)


def read_prompts(path: Path, hint: str | None = None) -> list[Asked]:
    """The questions of a file: JSON objects with "prompt" in a .jsonl, else one a line.

    An object may have a "hint", and an "answer", which counts where it is a text or a number.

    Raises:
        ConfigError: A line is no such object, or there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # JSON has line separators of its own
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"prompts={path}: can't be read as text: {error}") from error
    read = _of_json if path.suffix in (".jsonl", ".json") else lambda text, _: Asked(text)
    found = [read(line, f"prompts={path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"prompts={path}: there is nothing in it")
    return [replace(one, hint=hint) if one.hint is None else one for one in found]


def _of_json(text: str, where: str) -> Asked:
    try:
        row = json.loads(text)
        prompt, hint, answer = row["prompt"], row.get("hint"), row.get("answer")
    except (ValueError, TypeError, KeyError, AttributeError):
        prompt, hint, answer = None, None, None
    if type(prompt) is not str or (hint is not None and type(hint) is not str):
        raise ConfigError(f'{where}: expected a JSON object such as {{"prompt": "What is 3 + 4 ?"}}')
    return Asked(prompt, hint, str(answer) if type(answer) in (str, int, float) else None)

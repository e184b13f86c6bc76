"""Sample from a model: ``python -m igpo_lightning.sample prompt="What is 3 + 4 ?" watch=true``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from igpo_lightning.cli import entry
from igpo_lightning.cli.terminal import guarded
from igpo_lightning.config import quoted
from igpo_lightning.errors import ConfigError
from igpo_lightning.watching.finding import with_run

_OVERRIDE = re.compile(r"[+~]*[\w./@]+=")
_TEXTS = ("question", "prompts", "hint", "answer", "out", "html", "svg")

_program = entry("sample", "igpo_lightning.watching.program:run")


@guarded
def main() -> int | None:
    """Run the program of ``sys.argv``, in which prompts and hints need no quotes of Hydra's."""
    sys.argv[1:] = with_run(one_prompt(as_overrides(sys.argv[1:])))
    return _program()


def as_overrides(words: Sequence[str]) -> list[str]:
    """The words of a command line as Hydra takes them: texts are quoted, whatever is in them.

    ``prompt=`` is also the group of formats, whose names have no spaces: with one, it is a prompt. So is a
    word with a space that is no ``key=value``.
    """
    return [
        word if before.startswith("-") or word.startswith(("-", "~")) else _override(word)
        for before, word in zip(["", *words], words, strict=False)
    ]


def one_prompt(texts: Sequence[str]) -> Sequence[str]:
    """``texts``, if there is at most one prompt in them: of several, Hydra would take the last."""
    if sum(text.startswith("question=") for text in texts) > 1:
        raise ConfigError("prompt: there are several; give them as prompts=FILE, one a line")
    return texts


def _override(word: str) -> str:
    key, _, value = word.partition("=")
    if not _OVERRIDE.match(word):
        return f"question={_quoted(word)}" if _is_text(word) else word
    if key == "prompt" and _is_text(value):
        key = "question"
    return f"{key}={_quoted(value)}" if key in _TEXTS and value and value != "null" else word


def _is_text(value: str) -> bool:
    return any(character.isspace() for character in value.strip())


def _quoted(value: str) -> str:
    """``value`` in Hydra's quotes, without those that it came in."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value.count(value[0]) == 2:
        value = value[1:-1]
    return quoted(value)


if __name__ == "__main__":
    main()

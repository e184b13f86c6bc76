"""Manners of every program at the terminal: quiet ends, and characters that it can show."""

from __future__ import annotations

import codecs
import functools
import os
import signal
import stat
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any, NoReturn, TextIO, cast

from igpo_lightning.errors import ConfigError
from igpo_lightning.processes import has_nothing_to_add, stay_with_first

BAD_INPUT = 2
INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + 13
"""Exit code of a program that wrote into a pipe whose reader was gone (SIGPIPE)."""

_PLAIN = {"→": "->", "←": "<-", "±": "+/-", "…": "...", "×": "x", "·": "-", "–": "-", "—": "-", "≤": "<=",
          "≥": ">=", "≈": "~", "’": "'", "“": '"', "”": '"', "μ": "u", "µ": "u", "✓": "ok"}  # fmt: skip


def show_anything() -> None:
    """Make stdout and stderr write other characters for those that their encoding lacks."""
    codecs.register_error("igpo_plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="igpo_plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_PLAIN.get(char, "?") for char in wrong), error.end


def guarded(main: Callable[..., int | None]) -> Callable[..., int | None]:
    """``main`` with the exit codes and the quiet ends of all programs.

    A :class:`ConfigError` is one line and exit code 2, Ctrl-C is 130, and a reader that has gone (``| head``)
    is 141, without a word. ``HYDRA_FULL_ERROR=1`` keeps the traceback.
    """

    @functools.wraps(main)
    def guard(*args: object, **kwargs: object) -> int | None:
        stay_with_first()
        show_anything()
        former, sys.stdout = sys.stdout, _ends_with_its_reader(sys.stdout)
        try:
            code = main(*args, **kwargs)
            sys.stdout.flush()
            return code
        except ConfigError as error:
            refuse(error)
        except KeyboardInterrupt:
            if getattr(sys.stdout, "gone", False):  # Lightning's words for an exit within a fit
                raise SystemExit(BROKEN_PIPE) from None
            print("interrupted", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        finally:
            sys.stdout = former

    return guard


class _Pipe:
    """A stream into a pipe. Once nobody reads it any more, the program ends (141), without a word.

    A BrokenPipeError would do less: Hydra, Lightning and logging each catch it and print a traceback.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.gone = stream, False

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._stream, name)
        if name in ("write", "writelines", "flush"):
            return functools.partial(self._do, attribute)
        return attribute

    def _do(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except BrokenPipeError:
            # What is left in the buffer would be tried again, and complained about, as Python ends.
            self.gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            raise SystemExit(BROKEN_PIPE) from None


def _ends_with_its_reader(stream: TextIO) -> TextIO:
    """``stream``, in the form for pipes if it is one."""
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):  # not a file, or closed
        return stream
    return cast(TextIO, _Pipe(stream)) if is_pipe else stream


def refuse(error: ConfigError) -> NoReturn:
    """Print one line and exit with 2.

    Raises:
        SystemExit: Always, but for the error itself with ``HYDRA_FULL_ERROR=1``.
    """
    if full_errors():
        raise error
    if not has_nothing_to_add():
        print("error:", " ".join(str(error).split()), file=sys.stderr)
    raise SystemExit(BAD_INPUT) from None


def full_errors() -> bool:
    """True if tracebacks are asked for."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"

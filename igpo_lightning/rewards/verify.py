"""Is this answer the same as that one?

Plain numerals are compared exactly and at once. Everything else goes to math-verify, which parses
untrusted text with sympy: it may loop, eat memory, and uses SIGALRM. It therefore lives in one
long-lived child process per verifier, started when first needed.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import threading
import time
import weakref
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from igpo_lightning.rewards.contradiction import contradict

_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 120.0  # importing sympy on a busy disk; no answer is being timed yet
_WALL_FACTOR = 10
_MAX_EXPONENT = 400

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = rf"(?:{_DIGITS}(?:\.[0-9]*)?|\.[0-9]+)"
_REPEATING = r"[0-9]*\.[0-9]*\\overline\s*\{[0-9]+\}"
_NUMERAL = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:(?P<over>{_DECIMAL})\s*/\s*(?P<under>{_DECIMAL})"
    rf"|\\frac\s*\{{(?P<top>{_DECIMAL})\}}\s*\{{(?P<bottom>{_DECIMAL})\}}"
    rf"|(?P<repeating>{_REPEATING})|(?P<number>{_DECIMAL})(?:[eE](?P<exponent>[+-]?[0-9]{{1,4}}))?)"
)
_WORDS = re.compile(r"[A-Za-z]{3,}(?:[ -][A-Za-z]+)*")
_TEXT_COMMAND = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_SCIENTIFIC = re.compile(r"(?<![A-Za-z0-9.\\])([0-9]+(?:\.[0-9]+)?)[eE]([+-]?[0-9]{1,4})(?![A-Za-z0-9.])")
_NOISE = re.compile(r"\\?[$%]|\\(?:left|right|displaystyle)(?![a-z])")
_SPACING = re.compile(r"(?<!\\)\\[!,;:]\s*")
_LOOSE_SPACE = re.compile(r"(?<!\w)\s+|\s+(?!\w)")
_BLANK = re.compile(r"(?<!\\)\\ ")  # and not the end of a matrix row


def normalise(answer: str) -> str:
    """The answer without what carries no meaning: dollars, percent signs, spacing, a final full stop.

    The percent sign is dropped, as in the gold answers of MATH: 25% equals 25 and not 0.25.
    """
    text = _NOISE.sub("", answer.replace("\u2212", "-").replace("{,}", ","))
    text = _BLANK.sub(" ", _SPACING.sub("", text))
    text = re.sub(r"\\[dt]frac(?![a-z])", r"\\frac", text)
    return " ".join(text.split()).rstrip(".").rstrip()


def bare(text: str) -> str:
    """Normalised text with commands such as ``\\text{...}`` replaced by their content."""
    return _TEXT_COMMAND.sub(r"\1", text).strip()


def numeral(text: str) -> Fraction | None:
    """The value of a plain numeral, else None.

    Such as ``1,000``, ``-0.5``, ``2/4``, ``\\frac{1}{2}``, ``3e8`` and ``0.\\overline{3}``.
    """
    match = _NUMERAL.fullmatch(text)
    if match is None:
        return None
    over = match["over"] or match["top"] or match["number"] or match["repeating"]
    under = match["under"] or match["bottom"] or "1"
    exponent = int(match["exponent"] or 0)
    if abs(exponent) > _MAX_EXPONENT or not (denominator := _fraction(under)):
        return None
    read = _repeating if match["repeating"] else _fraction
    value = read(over) / denominator * Fraction(10) ** exponent
    return -value if match["sign"] == "-" else value


def _fraction(decimal: str) -> Fraction:
    return Fraction(decimal.replace(",", "").rstrip(".") or "0")


def _repeating(decimal: str) -> Fraction:
    head, _, cycle = decimal.partition("\\overline")
    digits = cycle.strip(" {}")
    places = len(head.partition(".")[2])
    return _fraction(head) + Fraction(int(digits), (10 ** len(digits) - 1) * 10**places)


class Verifier:
    """Compares final answers; safe to call from any thread, and cheap until math-verify is needed.

    Two plain numerals are equal iff their exact values are (1/3 is not 0.333). Text that is identical
    up to spaces is equal. Words are compared as words, not as products of letters. The rest is
    math-verify's verdict, remembered per pair; a pair that fails, takes longer than ``timeout``, or
    names different units or bases, is wrong. math-verify goes by value: 6 \\cdot 12 is 72, and a
    decimal is as good as what it rounds to at the sixth place (3.141593 is \\pi, 3.14 is not).

    Args:
        timeout: Seconds of processor time one pair may take in the worker, so that a busy machine judges
            as an idle one does. Ten times as much wall-clock time ends it in any case.
        memory_gb: GiB of address space the worker may take on top of its libraries.
        cache_size: Number of remembered verdicts.
    """

    def __init__(self, timeout: float = 2.0, memory_gb: float = 2.0, cache_size: int = 65536) -> None:
        if timeout <= 0 or memory_gb <= 0:
            from igpo_lightning.checks import ConfigError

            raise ConfigError(f"Verifier: timeout ({timeout}) and memory_gb ({memory_gb}) must be above 0")
        self.timeout, self.memory_gb, self.cache_size = timeout, memory_gb, cache_size
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._verdict = lru_cache(maxsize=cache_size)(self._ask)

    def __reduce__(self):
        return type(self), (self.timeout, self.memory_gb, self.cache_size)

    def equal(self, candidate: str, gold: str) -> bool:
        """True if ``candidate`` is a way of writing ``gold``. Never raises on odd text."""
        given, wanted = normalise(candidate), normalise(gold)
        text, wanted_text = bare(given), bare(wanted)
        if not text or not wanted_text:
            return False
        if _LOOSE_SPACE.sub("", text) == _LOOSE_SPACE.sub("", wanted_text):
            return True
        value, target = numeral(text), numeral(wanted_text)
        if value is not None and target is not None:
            return value == target
        if _WORDS.fullmatch(text) and _WORDS.fullmatch(wanted_text):
            return text.casefold() == wanted_text.casefold()
        if contradict(text, wanted_text):
            return False
        return self._verdict(_spell_exponents(given), _spell_exponents(wanted))

    def close(self) -> None:
        """Stop the worker; the next call that needs it starts a new one."""
        with self._lock:
            if self._worker is not None:
                self._worker.stop()
                self._worker = None

    def _ask(self, candidate: str, gold: str) -> bool:
        with self._lock:
            if self._worker is None or not self._worker.usable():
                self._worker = _Worker(int(self.memory_gb * 2**30), cpu_seconds=self.timeout)
            answer = self._worker.ask(json.dumps([candidate, gold]), _WALL_FACTOR * self.timeout)
            if answer is None:
                self._worker.stop()
                self._worker = None
            return answer == "1"


class _Worker:
    """One child process and the line protocol to it. Not thread-safe: the verifier holds the lock."""

    def __init__(self, memory_bytes: int, cpu_seconds: float) -> None:
        self._pid = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), str(memory_bytes), str(cpu_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,  # Ctrl-C in a terminal is not for it: the answer would count as wrong
        )
        self._unread = b""
        self._finalizer = weakref.finalize(self, _end, self._process)
        if self._read_line(_START_SECONDS) != "ready":
            self.stop()
            raise RuntimeError(
                "the answer checker did not start: 'import math_verify' fails or takes over "
                f"{_START_SECONDS:.0f} s in {sys.executable}; install math-verify[antlr4_9_3]"
            )

    def usable(self) -> bool:
        """False once the process has ended, and in a fork of the process that started it."""
        return self._pid == os.getpid() and self._process.poll() is None

    def ask(self, line: str, timeout: float) -> str | None:
        """The worker's reply, or None if it died or took longer than ``timeout`` seconds."""
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except OSError:
            return None
        return self._read_line(timeout)

    def stop(self) -> None:
        self._finalizer()

    def _read_line(self, timeout: float) -> str | None:
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    return None
                self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def _spell_exponents(text: str) -> str:
    """``3e8`` as ``3 \\times 10^{8}``: math-verify would read Euler's number."""
    return _SCIENTIFIC.sub(r"\1 \\times 10^{\2}", text)

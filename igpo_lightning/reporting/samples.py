"""``samples.jsonl``: completions as a person reads them, with the hints marked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby, zip_longest
from operator import itemgetter
from pathlib import Path

from igpo_lightning.checks import ConfigError
from igpo_lightning.console import printable
from igpo_lightning.files import cut_torn_line
from igpo_lightning.sample_record import SampleRecord

FILE = "samples.jsonl"

_MARKS = {"plain": ("[[", "]]"), "ansi": ("\x1b[30;43m", "\x1b[0m")}

KINDS = {  # (inpainted, correct) -> what a reader calls such samples
    (False, False): "wrong, without hints",
    (True, True): "right, with hints",
    (False, True): "right, without hints",
    (True, False): "wrong, with hints",
}


def by_kind(samples: Iterable[SampleRecord]) -> dict[str, list[SampleRecord]]:
    """The samples of each of the ``KINDS``, be there any or none."""
    kinds: dict[str, list[SampleRecord]] = {name: [] for name in KINDS.values()}
    for sample in samples:
        kinds[KINDS[sample.inpainted, sample.correct]].append(sample)
    return kinds


def mixed(samples: Iterable[SampleRecord], count: int) -> list[SampleRecord]:
    """``count`` samples at most, of as many kinds as there are."""
    rounds = zip_longest(*by_kind(samples).values())
    return [sample for each in rounds for sample in each if sample is not None][:count]


def append(path: str | Path, records: Iterable[SampleRecord]) -> None:
    """Add one line per record to ``path``, creating it and its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        cut_torn_line(path)
    lines = [json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records]
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.writelines(lines)


def read(path: str | Path) -> tuple[SampleRecord, ...]:
    """All different samples of a file, oldest first; none without a file. ConfigError names a bad line."""
    path = Path(path)
    if not path.exists():
        return ()
    samples: dict[SampleRecord, None] = {}  # a resumed run writes the same lines once more
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                if "window" in row:  # its name in files of earlier versions
                    row["rollout"] = row.pop("window")
                pieces = tuple((str(text), bool(hint)) for text, hint in row.pop("pieces"))
                tokens = tuple(map(str, row.pop("tokens", ())))
                samples[SampleRecord(pieces=pieces, tokens=tokens, **row)] = None
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"{path}:{number}: not a sample ({error})") from error
    return tuple(samples)


def marked(pieces: Sequence[tuple[str, bool]], style: str = "plain") -> str:
    """The completion with its hints marked: ``[[...]]`` ("plain") or colour ("ansi").

    Control characters are taken out, so model output cannot steer a terminal.
    """
    opening, closing = _MARKS[style]
    return "".join(f"{opening}{printable(t)}{closing}" if hint else printable(t) for t, hint in pieces)


def runs(sample: SampleRecord) -> list[tuple[str, str]]:
    """(text, "" or "kept" or "dropped" or "hint") runs: a hint with gradient, without, or not known."""
    if not sample.tokens or "kept" not in sample.columns:
        return [(text, "hint" if hint else "") for text, hint in sample.pieces]
    flags = zip(sample.columns["hint"], sample.columns["kept"], strict=True)
    kinds = [("kept" if kept else "dropped") if hint else "" for hint, kept in flags]
    each = groupby(zip(sample.tokens, kinds, strict=True), key=itemgetter(1))
    return [("".join(text for text, _ in run), kind) for kind, run in each]


def describe(sample: SampleRecord, style: str = "plain") -> str:
    """A few lines for the console: verdict, question, completion, gold trace."""
    verdict = "right" if sample.correct else "wrong"
    origin = ", inpainted" if sample.inpainted else ""
    text = (
        f"[rollout {sample.rollout + 1}] {verdict}{origin}, reward {sample.reward:.2f}, "
        f"gold {sample.answer}\n"
        f"  Q: {printable(sample.prompt).strip()}\n  A: {marked(sample.pieces, style).strip()}"
    )
    return f"{text}\n  gold: {printable(sample.trace).strip()}" if sample.trace else text

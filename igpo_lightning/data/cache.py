"""Encoded problems on disk, so that hundreds of thousands of rows are tokenized once, not at every start.

``datasets`` makes and keeps them, as memory-mapped Arrow files named by a hash of everything their content
depends on: processes on one machine share them, and a row becomes Python objects when asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from igpo_lightning.types import Problem, Prompt

if TYPE_CHECKING:
    from datasets import Dataset

_LOG = logging.getLogger(__name__)
_TOKENS = ("ids", "response")  # hints are made from the problem


@dataclass(frozen=True)
class Fate:
    """Fate of a problem: whether it was kept, and why not, or what was done to it ("" if nothing)."""

    kept: bool
    note: str = ""


HintOf = Callable[[Problem], tuple[int, ...]]

Outcome = tuple[Prompt | None, Fate]
"""A problem's encoding, None if it was left out; and what became of it."""


class Encoded(NamedTuple):
    """The problems that were kept, encoded, in the given order; and what became of each problem."""

    prompts: Sequence[Prompt]
    fates: Sequence[Fate]


class EncodedPrompts(Sequence[Prompt]):
    """The problems that were not left out, encoded; made from the mapped file one at a time."""

    def __init__(
        self, problems: Sequence[Problem], table: Dataset, fates: Sequence[Fate], hint_of: HintOf | None
    ) -> None:
        self._problems, self._table, self._hint_of = problems, table, hint_of
        self._kept = [i for i, fate in enumerate(fates) if fate.kept]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self._at(row) for row in self._kept[index]]
        return self._at(self._kept[index])

    def _at(self, row: int) -> Prompt:
        found = self._table[row]
        ids, response = (tuple(found[name]) for name in _TOKENS)
        return Prompt(self._problems[row], ids, response, self._hint_of)


def encoded(outcomes: Iterable[Outcome]) -> Encoded:
    """``outcomes``, one per problem in order, in memory."""
    pairs = list(outcomes)
    return Encoded(tuple(prompt for prompt, _ in pairs if prompt is not None), [fate for _, fate in pairs])


def cached(
    folder: str | Path,
    key: str,
    problems: Sequence[Problem],
    make: Callable[[], Iterable[Outcome]],
    hint_of: HintOf | None = None,
) -> Encoded:
    """Result of :func:`encoded` for ``make()``, from ``folder`` if it is there.

    The folder may be deleted at any time; whatever is wrong with it costs only time. Entries appear whole
    or not at all. Of several processes that want one that isn't there, the first makes it and the others
    wait. A broken entry is made again; a folder that can't be written to is warned about and not used.

    Args:
        folder: Where entries lie; made when first needed.
        key: Hex digest of everything the encoding depends on, see :func:`digest`.
        problems: All of them, in order.
        make: Encodes them: one outcome per problem, in order. What it raises is passed on.
        hint_of: Of the prompts, see :class:`Prompt`; hints are not kept.
    """
    from datasets.exceptions import DatasetGenerationError

    entry = Path(folder).expanduser() / key
    error: BaseException | None = None
    for _ in range(2):
        try:
            return _entry(entry, problems, make, hint_of)
        except DatasetGenerationError as failed:
            error = failed.__cause__ or failed
            if not isinstance(error, OSError):
                raise error from None
        except Exception as failed:  # whatever is wrong with an entry, it can be made again
            error = failed
            _LOG.debug("%s: made again: %s", entry, error)
        shutil.rmtree(entry, ignore_errors=True)
    _LOG.warning("data.cache_dir=%s: can't be used (%s); going on without it", folder, error)
    return encoded(make())


def _entry(
    entry: Path,
    problems: Sequence[Problem],
    make: Callable[[], Iterable[Outcome]],
    hint_of: HintOf | None,
) -> Encoded:
    """The entry, made if there is none."""
    from datasets import Dataset, Features, List, Value, disable_progress_bars

    disable_progress_bars()  # "Generating train split" says nothing here
    tokens = {name: List(Value("int32")) for name in _TOKENS}
    table = Dataset.from_generator(
        lambda: map(_row, make()),
        features=Features({"kept": Value("bool"), "note": Value("string"), **tokens}),
        cache_dir=str(entry),
        fingerprint=entry.name,
    )
    table.data.table.validate(full=True)
    fates = [Fate(kept, note) for kept, note in zip(table["kept"], table["note"], strict=True)]
    if len(fates) != len(problems):
        raise ValueError(f"{len(fates)} rows for {len(problems)} problems")
    return Encoded(EncodedPrompts(problems, table, fates, hint_of), fates)


def _row(outcome: Outcome) -> dict[str, object]:
    prompt, fate = outcome
    tokens = {name: () if prompt is None else getattr(prompt, name) for name in _TOKENS}
    return {"kept": fate.kept, "note": fate.note, **tokens}


def digest(parts: Iterable[object]) -> str:
    """Hex digest of a sequence of values that JSON can write, and of the code of data and rewards.

    An entry made by other code is another entry: by other rules for hints or answers, too.
    """
    found = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted([*package.glob("data/**/*.py"), *package.glob("rewards/**/*.py")]):
        found.update(file.read_bytes())
    for part in parts:
        found.update(b"\n" + json.dumps(part).encode())  # JSON holds no line break of its own
    return found.hexdigest()

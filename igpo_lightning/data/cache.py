"""Encoded problems on disk, so that hundreds of thousands of rows are tokenized once, not at every start.

An entry is an Arrow file named by a hash of everything its content depends on. It is memory-mapped
when read: processes on one machine share it, and a row becomes Python objects when asked for.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from igpo_lightning.types import Problem, Prompt

if TYPE_CHECKING:
    from datasets import Dataset

VERSION = 1
"""Of the layout of an entry."""

_LOG = logging.getLogger(__name__)
_BATCH_ROWS = 1024
_COLUMNS = ("dropped", "ids", "response", "hint")

Outcome = Prompt | str
"""What became of a problem: its encoding, or why it was left out."""


class EncodedPrompts(Sequence[Prompt]):
    """The problems that were not left out, encoded; made from the mapped file one at a time."""

    def __init__(self, problems: Sequence[Problem], table: Dataset, dropped: Sequence[str]) -> None:
        self._problems, self._table = problems, table
        self._kept = [i for i, reason in enumerate(dropped) if not reason]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self._kept[index]
        found = self._table[row]
        return Prompt(
            self._problems[row], tuple(found["ids"]), tuple(found["response"]), tuple(found["hint"])
        )


class EncodingCache:
    """A folder of entries. It may be deleted at any time; whatever is wrong with it costs only time.

    Entries appear whole or not at all. Of several processes that want one that isn't there, the first
    makes it and the others wait. A broken entry is made again; a folder that can't be written to is
    warned about and not used.

    Args:
        folder: Where entries lie; made when first needed.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()

    def get(
        self, key: str, problems: Sequence[Problem], make: Callable[[], Iterable[Outcome]]
    ) -> tuple[Sequence[Prompt], dict[str, int]]:
        """(encoded prompts, counts of what was left out by reason) of ``problems``.

        Args:
            key: Hex digest of everything the encoding depends on, see :func:`digest`.
            problems: All of them, in order.
            make: Encodes them: one outcome per problem, in order. What it raises is passed on.
        """
        entry = self.folder / f"{key}.arrow"
        if (found := _read(entry, problems)) is not None:
            return found
        with self._locked(entry) as writable:
            if (found := _read(entry, problems)) is not None:
                return found
            if writable and _write(entry, make()) and (found := _read(entry, problems)) is not None:
                return found
        return collect(make())

    @contextmanager
    def _locked(self, entry: Path) -> Iterator[bool]:
        """Hold the lock of ``entry``; gives False, without one, if the folder can't be written to."""
        from filelock import FileLock

        lock = FileLock(entry.with_suffix(".lock"))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (OSError, NotImplementedError) as error:
            _warn(self.folder, error)
            yield False
            return
        try:
            yield True
        finally:
            lock.release()


def collect(outcomes: Iterable[Outcome]) -> tuple[tuple[Prompt, ...], dict[str, int]]:
    """(encoded prompts, counts of what was left out by reason), in memory."""
    prompts: list[Prompt] = []
    dropped: Counter[str] = Counter()
    for outcome in outcomes:
        if isinstance(outcome, Prompt):
            prompts.append(outcome)
        else:
            dropped[outcome] += 1
    return tuple(prompts), dict(dropped)


def digest(parts: Iterable[object]) -> str:
    """Hex digest of a sequence of values that JSON can write."""
    found = hashlib.sha256(json.dumps(["igpo_lightning.encoding", VERSION]).encode())
    for part in parts:
        found.update(b"\n" + json.dumps(part).encode())  # JSON holds no line break of its own
    return found.hexdigest()


def code_of(*objects: Callable) -> list[str]:
    """The source of the modules that define ``objects``: an entry made by other code is another entry."""
    return [Path(inspect.getfile(each)).read_text(encoding="utf-8") for each in objects]


def _read(entry: Path, problems: Sequence[Problem]) -> tuple[EncodedPrompts, dict[str, int]] | None:
    """The entry, or None if there is none or it can't be what was written."""
    from datasets import Dataset

    if not entry.is_file():
        return None
    try:
        table = Dataset.from_file(str(entry))
        table.data.table.validate(full=True)
        if len(table) != len(problems) or set(table.column_names) != set(_COLUMNS):
            raise ValueError(f"{len(table)} rows of {table.column_names} for {len(problems)} problems")
        dropped = table.data.column("dropped").to_pylist()
    except Exception as error:  # whatever is wrong with an entry, it can be made again
        _LOG.warning("%s: broken, made again: %s", entry, error)
        return None
    return EncodedPrompts(problems, table, dropped), dict(Counter(filter(None, dropped)))


def _write(entry: Path, outcomes: Iterable[Outcome]) -> bool:
    """Write the entry; False if the disk refuses."""
    outcomes = iter(outcomes)
    temporary = None
    try:
        handle, name = tempfile.mkstemp(dir=entry.parent, prefix=f".{entry.stem}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        _write_arrow(temporary, outcomes)
        os.replace(temporary, entry)
    except OSError as error:
        _warn(entry.parent, error)
        return False
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    return True


def _write_arrow(path: Path, outcomes: Iterator[Outcome]) -> None:
    """The stream format of Arrow, which ``datasets`` reads; one row per problem."""
    import pyarrow as pa

    tokens = pa.list_(pa.int32())
    schema = pa.schema([("dropped", pa.string()), *((name, tokens) for name in _COLUMNS[1:])])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        while batch := list(islice(outcomes, _BATCH_ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(outcome) for outcome in batch], schema))


def _row(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, str):
        return {"dropped": outcome, "ids": (), "response": (), "hint": ()}
    return {"dropped": "", "ids": outcome.ids, "response": outcome.response, "hint": outcome.hint}


def _warn(folder: Path, error: Exception) -> None:
    _LOG.warning("data.cache_dir=%s: can't be used (%s); going on without it", folder, error)

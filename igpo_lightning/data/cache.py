"""Encoded problems on disk, so that hundreds of thousands of rows are tokenized once, not at every start.

An entry is an Arrow file named by a hash of everything its content depends on. It is memory-mapped
when read: processes on one machine share it, and a row becomes Python objects when asked for.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, resolve_name
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, overload

from igpo_lightning.types import Problem, Prompt

if TYPE_CHECKING:
    from datasets import Dataset

VERSION = 2
"""Of the layout of an entry."""

_LOG = logging.getLogger(__name__)
_BATCH_ROWS = 1024
_TOKENS = ("ids", "response", "hint")
_COLUMNS = ("kept", "note", *_TOKENS)


@dataclass(frozen=True)
class Fate:
    """Fate of a problem: whether it was kept, and why not, or what was done to it ("" if nothing)."""

    kept: bool
    note: str = ""


Outcome = tuple[Prompt | None, Fate]
"""A problem's encoding, None if it was left out; and what became of it."""

Encoded = tuple[Sequence[Prompt], Sequence[Fate]]
"""The problems that were kept, encoded; and what became of each problem."""


class EncodedPrompts(Sequence[Prompt]):
    """The problems that were not left out, encoded; made from the mapped file one at a time."""

    def __init__(self, problems: Sequence[Problem], table: Dataset, fates: Sequence[Fate]) -> None:
        self._problems, self._table = problems, table
        self._kept = [i for i, fate in enumerate(fates) if fate.kept]

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Prompt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Prompt]: ...
    def __getitem__(self, index: int | slice) -> Prompt | list[Prompt]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = self._kept[index]
        found = self._table[row]
        return Prompt(self._problems[row], *(tuple(found[name]) for name in _TOKENS))


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

    def get(self, key: str, problems: Sequence[Problem], make: Callable[[], Iterable[Outcome]]) -> Encoded:
        """(encoded prompts, what became of each problem) of ``problems``.

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


def collect(outcomes: Iterable[Outcome]) -> Encoded:
    """(encoded prompts, what became of each problem), in memory."""
    pairs = list(outcomes)
    return tuple(prompt for prompt, _ in pairs if prompt is not None), tuple(fate for _, fate in pairs)


def digest(parts: Iterable[object]) -> str:
    """Hex digest of a sequence of values that JSON can write."""
    found = hashlib.sha256(json.dumps(["igpo_lightning.encoding", VERSION]).encode())
    for part in parts:
        found.update(b"\n" + json.dumps(part).encode())  # JSON holds no line break of its own
    return found.hexdigest()


def code_of(*objects: Callable) -> list[str]:
    """The source of the modules that define ``objects``, and of all of this package that those import.

    An entry made by other code is another entry: by other rules for hints or answers, too.
    """
    pending, found = [each.__module__ for each in objects], {}
    while pending:
        name = pending.pop()
        if name not in found and (spec := find_spec(name)) and spec.origin:
            found[name] = Path(spec.origin).read_text(encoding="utf-8")
            pending += _imports(found[name], spec)
    return [found[name] for name in sorted(found)]


def _imports(source: str, spec: ModuleSpec) -> Iterator[str]:
    """Modules of this package that the source of another of its modules imports."""
    package = spec.name if spec.submodule_search_locations else spec.parent
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), package)
            if module.partition(".")[0] == spec.name.partition(".")[0]:
                yield module
                yield from (f"{module}.{each.name}" for each in node.names if _is_module(module, each.name))


def _is_module(package: str, name: str) -> bool:
    parent = find_spec(package)
    is_package = parent is not None and bool(parent.submodule_search_locations)
    return is_package and find_spec(f"{package}.{name}") is not None


def _read(entry: Path, problems: Sequence[Problem]) -> Encoded | None:
    """The entry, or None if there is none or it can't be what was written."""
    from datasets import Dataset

    if not entry.is_file():
        return None
    try:
        table = Dataset.from_file(str(entry))
        table.data.table.validate(full=True)
        if len(table) != len(problems) or set(table.column_names) != set(_COLUMNS):
            raise ValueError(f"{len(table)} rows of {table.column_names} for {len(problems)} problems")
        notes = zip(*(table.data.column(name).to_pylist() for name in ("kept", "note")), strict=True)
        fates = [Fate(kept, note) for kept, note in notes]
    except Exception as error:  # whatever is wrong with an entry, it can be made again
        _LOG.warning("%s: broken, made again: %s", entry, error)
        return None
    return EncodedPrompts(problems, table, fates), fates


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
    schema = pa.schema([("kept", pa.bool_()), ("note", pa.string()), *((name, tokens) for name in _TOKENS)])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        while batch := list(islice(outcomes, _BATCH_ROWS)):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(outcome) for outcome in batch], schema))


def _row(outcome: Outcome) -> dict[str, object]:
    prompt, fate = outcome
    return {
        "kept": fate.kept,
        "note": fate.note,
        **{name: () if prompt is None else getattr(prompt, name) for name in _TOKENS},
    }


def _warn(folder: Path, error: Exception) -> None:
    _LOG.warning("data.cache_dir=%s: can't be used (%s); going on without it", folder, error)

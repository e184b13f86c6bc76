"""Rows from wherever a table of them may lie: a file, a folder of files, or the Hugging Face hub."""

from __future__ import annotations

import csv
import re
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from igpo_lightning.checks import TABLES, ConfigError, data_source
from igpo_lightning.data.sources.rows import Row, read_json_list, read_jsonl

_SPLIT_NAME = re.compile(r"(?<![a-z])(train|test|validation|valid|val|dev)(?![a-z])", re.I)
_BATCH_ROWS = 1024
_PATIENCE = 3  # seconds
_PACKED = (".gz", ".bz2", ".xz", ".zst")
_MAX_CELL = 2**31 - 1  # characters of a CSV file's cell: the most that every platform takes


def read_table(path: str, **where: Any) -> list[Row]:
    """All rows of a table, see :func:`iter_table`."""
    return list(iter_table(path, **where))


def iter_table(
    path: str,
    *,
    key: str,
    split: str = "train",
    config: str | None = None,
    revision: str | None = None,
    columns: Collection[str] | None = None,
) -> Iterator[Row]:
    """The rows of a table one by one; ``Row.index`` counts them over all its files.

    Args:
        path: A ``.jsonl``, ``.json`` (one list, or JSON Lines), ``.parquet`` or ``.csv`` file; a folder of
            such files; or, if neither exists, the id of a data set on the hub.
        key: Config key that holds ``path``, for messages.
        split: Of a folder, the files of this name, or else those with this word in their name, or else,
            for "train" and if no name tells a split, all of them; of a hub data set, its split.
        config: Configuration of a hub data set; of a folder, the subfolder with the files.
        revision: Commit, branch or tag of a hub data set.
        columns: Read these only, where the format allows (parquet and the hub); null reads all.

    Raises:
        ConfigError: Nothing can be read there, there are no rows, or a row is malformed.
    """
    place = Path(path).expanduser()
    if place.exists():
        files = _files(place, path, key, split, config) if place.is_dir() else [place]
        rows = chain.from_iterable(_rows_of_file(file, key, columns) for file in files)
    else:
        rows = _rows_of_hub(path, key, split, config, revision, columns)
    index = -1
    for index, row in enumerate(rows):
        yield replace(row, index=index)
    if index < 0:
        raise ConfigError(f"{path}: the table holds no rows ({key}, split {split})")


# ---------------------------------------------------------------- files


def _files(folder: Path, path: str, key: str, split: str, config: str | None) -> list[Path]:
    """The files of one split, in the order of their names; a hub snapshot keeps them in ``data/``."""
    places = [folder / config] if config and (folder / config).is_dir() else [folder, folder / "data"]
    for place in places:
        files = sorted(f for f in place.glob("*") if _is_table(f) and f.is_file())
        tables = [f for f in files if f.name not in _NOT_TABLES]
        # GSM8K is published with a train_socratic.jsonl beside its train.jsonl.
        named = [f for f in tables if f.stem == split] or [f for f in tables if split in f.name]
        if not named and split == "train" and not any(_SPLIT_NAME.search(f.name) for f in tables):
            named = tables
        if named:
            return named
    kinds = ", ".join(TABLES)
    raise ConfigError(f"{key}={path}: no {kinds} file with {split!r} in its name in this folder")


def _is_table(file: Path) -> bool:
    """True also of a packed table that isn't there unpacked: it is refused where it would be read."""
    plain = file.with_suffix("")
    return file.suffix in TABLES or (file.suffix in _PACKED and plain.suffix in TABLES and not plain.exists())


_NOT_TABLES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}


def _rows_of_file(file: Path, key: str, columns: Collection[str] | None) -> Iterator[Row]:
    if file.suffix == ".parquet":
        return _rows_of_parquet(file, columns)
    if file.suffix == ".csv":
        return _rows_of_csv(file)
    if file.suffix == ".json" and _holds_list(file):
        return read_json_list(file)
    if file.suffix in TABLES:
        return read_jsonl(file)
    unpack = "; unpack it first" if file.suffix in _PACKED else ""
    raise ConfigError(f"{key}={file}: expected a {', '.join(TABLES)} file or a folder of them{unpack}")


def _holds_list(file: Path) -> bool:
    """False for JSON Lines under the name of JSON."""
    with file.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{"


def _rows_of_csv(file: Path) -> Iterator[Row]:
    """All fields are texts; the first line names them."""
    csv.field_size_limit(_MAX_CELL)  # of this process: Python's own is below the length of a long trace
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            for index, fields in enumerate(reader):
                if None in fields or None in fields.values():
                    raise csv.Error(f"not {len(reader.fieldnames or ())} cells, as in the first line")
                yield Row(f"{file}:{reader.line_num}", index, fields)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        at = f":{reader.line_num}" if isinstance(error, csv.Error) else ""
        raise ConfigError(f"{file}{at}: can't be read as CSV: {_one_line(error)}") from None


def _rows_of_parquet(file: Path, columns: Collection[str] | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            wanted = None if columns is None else [c for c in table.schema_arrow.names if c in columns]
            batches = table.iter_batches(_BATCH_ROWS, columns=wanted)
            for index, fields in enumerate(row for batch in batches for row in batch.to_pylist()):
                yield Row(f"{file}: row {index + 1}", index, fields)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: can't be read as parquet: {_one_line(error)}") from None


# ---------------------------------------------------------------- the hub


def _rows_of_hub(
    path: str,
    key: str,
    split: str,
    config: str | None,
    revision: str | None,
    columns: Collection[str] | None,
) -> Iterator[Row]:
    data_source(key, path)
    import datasets  # takes seconds

    try:
        with nullcontext() if hub_answers() else _offline():
            table = datasets.load_dataset(path, config, split=split, revision=revision)
    except ConnectionError as error:
        raise ConfigError(
            f"{key}={path}: no such file or folder here, and the hub can't be reached "
            f"({_one_line(error)}); give the path of a local copy ({', '.join(TABLES)}, or a folder)"
        ) from None
    except Exception as error:  # the library's errors have no common class; their text names the culprit
        asked = f"config {config or 'default'}, split {split}"
        asked += f", revision {revision}" if revision else ""
        raise ConfigError(
            f"{key}={path}: no such file or folder here, and the hub's can't be loaded ({asked}): "
            f"{_one_line(error)}"
        ) from None
    if columns is not None:
        table = table.select_columns([name for name in table.column_names if name in columns])
    fields: Any
    for index, fields in enumerate(table):
        yield Row(f"{path} ({split}): row {index + 1}", index, fields)


@lru_cache(maxsize=1)
def hub_answers() -> bool:
    """True if the hub can be reached; without this test a table that isn't cached costs 23 s of retries."""
    from huggingface_hub import constants

    place = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE:
        return False
    if getproxies().get(place.scheme):
        return True  # a proxy may reach what we don't
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname, port), timeout=_PATIENCE).close()
    except OSError:
        return False
    return True


@contextmanager
def _offline() -> Iterator[None]:
    """Within, the hub's libraries read their cache only."""
    from datasets import config
    from huggingface_hub import constants

    kept = constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, config.HF_HUB_OFFLINE = kept


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:400] or type(error).__name__

"""Checks of paths and hub ids. Exported by :mod:`igpo_lightning.checks`."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from igpo_lightning.errors import ConfigError
from igpo_lightning.files import is_special

TABLES = (".jsonl", ".json", ".parquet", ".csv")
"""Kinds of files that data is read from."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def path_text(name: str, value: Any) -> str:
    """``value`` as text with ``~`` expanded, if it is a path that is not empty.

    YAML reads ``path: 2024`` as a number and ``path: on`` as a word; which one was meant can't be told
    (``007`` has become 7), so a number or a boolean is refused.
    """
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise ConfigError(f"{name}={value}: expected a path or a name; in a YAML file quote it: '{value}'")
    if not value.strip():
        raise ConfigError(f"{name}: it is empty; expected a path or a name")
    return os.path.expanduser(value)


def existing_path(name: str, path: str | Path) -> Path:
    """``path`` as a Path, if there is a file or a folder."""
    found = Path(path_text(name, path))
    if not found.exists():
        parent = next(p for p in found.absolute().parents if p.is_dir())
        raise ConfigError(f"{name}={path}: no such file or folder (the last part that exists is {parent})")
    return found


def writable_folder(name: str, path: str | Path) -> str | Path:
    """``path``, if it is a folder that can be written to, or one could be made there."""
    place = Path(path_text(name, path)).absolute()
    there = next(folder for folder in (place, *place.parents) if os.path.lexists(folder))
    if not there.exists():
        raise ConfigError(f"{name}={path}: {there} is a link to {os.readlink(there)}, which is not there")
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"{name}={path}: {there} is no folder that can be written to")
    return path


def writable_file(name: str, path: str | Path, *, make_folder: bool = False) -> Path:
    """``path`` as a Path, if a file can be written there; its folder is made on request.

    A file that is replaced whole needs a folder that takes new files, too; so one is tried there.
    """
    place = Path(path_text(name, path))
    if place.is_dir():
        raise ConfigError(f"{name}={path}: is a folder; give a file")
    target = Path(os.path.realpath(place)) if place.is_symlink() else place
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        if not is_special(place):
            tempfile.TemporaryFile(dir=target.parent).close()
        if place.exists() and not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        lacks = not target.parent.is_dir()
        why = f"there is no folder {target.parent}" if lacks else f"can't be written: {error.strerror}"
        raise ConfigError(f"{name}={path}: {why}") from None
    return place


def data_source(name: str, path: str, made_by: str | None = None) -> str:
    """``path``, if there is such a file or folder, or it could be the id of a data set on the hub.

    ``made_by`` is the command that makes the file, for the message if there is none.
    """
    place = Path(path_text(name, path))
    if place.exists() or (_HUB_ID.fullmatch(path) and place.suffix not in TABLES):
        return path
    try:
        existing_path(name, path)
    except ConfigError as error:
        hint = f"it is made by: {made_by}" if made_by else "nor a hub id such as 'organisation/data-set'"
        raise ConfigError(f"{error}; {hint}") from None
    return path


def model_source(name: str, path: str) -> str:
    """``path``, if it is a folder with a model or an adapter, or could be the id of one on the hub."""
    folder = Path(path_text(name, path))
    if folder.is_dir():
        if not _has_model(folder):
            hint = f"; that of this run is {folder / 'model'}" if _has_model(folder / "model") else ""
            raise ConfigError(f"{name}={path}: the folder has no config.json, so it holds no model{hint}")
    elif folder.exists():
        raise ConfigError(f"{name}={path}: is a file; expected the folder of a saved model or a hub id")
    elif not _HUB_ID.fullmatch(path):
        raise ConfigError(f"{name}={path}: no such folder, and not a hub id such as 'organisation/model'")
    return path


def _has_model(folder: Path) -> bool:
    return any((folder / file).is_file() for file in ("config.json", "adapter_config.json"))

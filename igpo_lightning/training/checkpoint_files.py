"""Files of checkpoints: which there are, whether they are whole, and what they say of themselves."""

from __future__ import annotations

import json
import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..checks import ConfigError
from ..errors import first_line

BEST = "best.ckpt"
ABANDONED = "abandoned"  # folder of those that a run has gone back behind
# In folder checkpoints: their files' sizes, the update, and how many processes wrote them.
MANIFEST = "complete.json"
_NUMBERED = re.compile(r"update-(\d+)\.ckpt")


def kind_of(path: Path) -> str:
    """Kind of an existing checkpoint: "file", "deepspeed" or "distributed"."""
    if not path.is_dir():
        return "file"
    return "distributed" if (path / ".metadata").is_file() else "deepspeed"


def numbered(folder: Path) -> list[Path]:
    """The checkpoints of a folder, newest first; ``best.ckpt`` and unfinished ones are not among them."""
    found = [(int(match[1]), path) for path in folder.glob("*") if (match := _NUMBERED.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def newest(folder: Path) -> Path | None:
    """The newest checkpoint that is undamaged; damaged ones are told of and passed over."""
    for path in numbered(folder):
        if (fault := damage(path)) is None:
            return path
        warnings.warn(f"{path}: {fault}; going on from the one before", stacklevel=2)
    return None


def damage(path: Path) -> str | None:
    """Describe the first fault of a checkpoint's files; None if there is none.

    Archives are checked by their CRC sums, folders by the list of their files.
    """
    if path.is_dir():
        return _folder_damage(path)
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except (OSError, zipfile.BadZipFile) as error:
        return f"truncated or not a checkpoint ({error})"
    return f"damaged ({bad})" if bad else None


def checked(path: Path, key: str = "resume", others: str = "auto") -> Path:
    """``path``, if it is an undamaged checkpoint of this program.

    Args:
        key: By which it was given.
        others: Words that the key takes besides paths; the last one stands for the newest checkpoint.

    Raises:
        ConfigError: It is missing, damaged, or something else.
    """
    if not path.exists():
        raise ConfigError(f"{key}={path}: no such file; give a checkpoint, or {others}")
    if fault := damage(path):
        raise ConfigError(f"{key}={path}: {fault}; {key}={others.split()[-1]} takes the newest undamaged one")
    if path.is_file():
        try:
            content = content_of(path)
        except Exception as error:  # unpickling raises whatever it likes
            said = first_line(error)
            raise ConfigError(f"{key}={path}: not a checkpoint of this program ({said})") from None
        if not isinstance(content, dict) or not {"state_dict", "loops"} <= set(content):
            raise ConfigError(f"{key}={path}: not a checkpoint of a training run (no state_dict and loops)")
    return path


def content_of(path: Path) -> dict[str, Any]:
    """All that is in a file, its tensors mapped; the manifest of a folder."""
    if path.is_dir():
        return json.loads((path / MANIFEST).read_text())
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def settings_of(path: Path) -> dict[str, Any]:
    """The config of the run that wrote a checkpoint; empty if it does not say."""
    return content_of(path).get("settings" if path.is_dir() else "hyper_parameters", {})


def _folder_damage(path: Path) -> str | None:
    try:
        sizes = content_of(path)["files"]
    except (OSError, ValueError, KeyError):
        return f"not a complete checkpoint (no {MANIFEST})"
    for name, size in sizes.items():
        if not (path / name).is_file() or (path / name).stat().st_size != size:
            return f"damaged ({name} is missing or not of {size} bytes)"
    return None


def set_aside(folder: Path, update: int) -> list[Path]:
    """Move checkpoints of later updates than ``update`` into ``folder/abandoned``, damaged ones too.

    Left where they are they would be taken for the newest: retention would delete what is saved from here
    on, and ``resume=auto`` go on with what was given up.

    Returns:
        Those that were moved, where they were.
    """
    found: dict[Path, int | None] = {folder / BEST: _update(folder / BEST)}
    found |= {path: int(path.stem.rpartition("-")[2]) for path in numbered(folder)}
    later = [path for path, at in found.items() if at is not None and at > update]
    for path in later:
        place = folder / ABANDONED / path.name
        place.parent.mkdir(exist_ok=True)
        remove(place)
        path.replace(place)
    return later


def _update(path: Path) -> int | None:
    """Updates that a checkpoint has seen; None if it does not say, or there is none."""
    try:
        return content_of(path).get("update" if path.is_dir() else "global_step")
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile):
        return None


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

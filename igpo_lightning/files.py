"""Files that a killed process leaves whole."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from igpo_lightning.errors import ConfigError

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def is_special(path: Path) -> bool:
    """True of a device, a pipe and the like: what is written to, and never replaced."""
    return path.exists() and not (path.is_file() or path.is_dir())


def write_atomic(path: Path, chunks: str | Iterable[str]) -> None:
    """Replace ``path`` by the text, which is on the disk before the old file goes.

    What a link points at is replaced, not the link; a device or a pipe is written to.
    """
    if is_special(path):
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines([chunks] if isinstance(chunks, str) else chunks)
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines([chunks] if isinstance(chunks, str) else chunks)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or a folder's list of files, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems can't
    finally:
        os.close(descriptor)


def cut_torn_line(path: Path) -> None:
    """Drop what a killed process left of the last line of a file of lines."""
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        with path.open("r+b") as file:
            file.truncate(whole)


def append_line(path: Path, line: str, durable: bool = True) -> None:
    """Add a line to a file that only this process writes into; on the disk when this returns, if ``durable``.

    Raises:
        ConfigError: It can't be written. The file is as it was before.
    """
    left = line.encode() + b"\n"
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
            if durable:
                os.fsync(file.fileno())
        except OSError as error:
            file.truncate(size)
            raise ConfigError(f"{path}: can't be written: {error.strerror}") from error
    if not size:
        sync(path.parent)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into, which then takes the place of ``folder``: that is whole or absent at any time.

    What stood there before is kept until the new content is on the disk.
    """
    partial, old = (folder.with_name(f"{folder.name}.{state}") for state in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        for path in partial.rglob("*"):
            sync(path)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def disk_trouble(error: BaseException | None) -> str | None:
    """Trouble with the disk (full, over quota, read-only) behind ``error``; None if there is none.

    Libraries wrap the system's error, or say it only in their text.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _DISK:
            return f"{error.strerror}" + (f" ({error.filename})" if error.filename else "")
        for number in _DISK:
            if os.strerror(number) in str(error):
                return os.strerror(number)
        error = error.__cause__ or error.__context__
    return None

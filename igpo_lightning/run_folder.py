"""The folder of a run: one run at a time, nothing of one that was refused, one line if the disk is full."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from igpo_lightning.checks import ConfigError
from igpo_lightning.files import disk_trouble
from igpo_lightning.locks import locked

BEGUN = "provenance.json"  # of a stage's folder: it has been trained in
_HYDRAS = (".hydra", "*.log")


@contextmanager
def run_folder(folder: Path, first: bool) -> Iterator[None]:
    """Within this context ``folder`` is this run's.

    Args:
        first: Whether this is the first of the run's processes, which does this for all of them.

    Raises:
        ConfigError: Another run is at work there, or nothing more could be written.
    """
    before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    begun = _has_begun(folder)
    try:
        with ExitStack() as stack:
            if first:
                stack.enter_context(locked(folder))
            yield
    except BaseException as error:
        refused = isinstance(error, (ConfigError, KeyboardInterrupt)) or disk_trouble(error)
        if first and refused and not begun and not _has_begun(folder):
            for path in folder.iterdir():
                if path.name not in before:
                    _remove(path)
        if trouble := disk_trouble(error):
            raise ConfigError(
                f"output_dir={folder}: could not be written to: {trouble}; make room, and repeat the command "
                f"with output_dir={folder} resume=auto"
            ) from error
        raise


def missing(folder: Path) -> tuple[Path, ...]:
    """The folders that would have to be made for ``folder`` to be there, itself first."""
    return tuple(path for path in (folder, *folder.parents) if not path.exists())


def discard(new: Sequence[Path]) -> None:
    """Remove folders that hold nothing but what Hydra writes before a run is looked at.

    Args:
        new: What :func:`missing` gave before Hydra was started.
    """
    for folder in new:
        if not folder.is_dir():
            continue
        hydras = {path for pattern in _HYDRAS for path in folder.glob(pattern)}
        if set(folder.iterdir()) - hydras:
            return
        for path in hydras:
            _remove(path)
        folder.rmdir()


def _has_begun(folder: Path) -> bool:
    """Whether this or any other run has been trained in ``folder``, its warm start included."""
    return any(folder.glob(BEGUN)) or any(folder.glob(f"*/{BEGUN}"))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

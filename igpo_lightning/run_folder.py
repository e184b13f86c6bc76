"""The folder of a run: locked, removed again if the run is refused, and one line if the disk is full."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import quoted
from igpo_lightning.files import disk_trouble
from igpo_lightning.locks import locked
from igpo_lightning.paths import writable_folder

BEGUN = "provenance.json"  # of a stage's folder: it has been trained in
_HYDRAS = (".hydra", "*.log")  # what it writes before a run is looked at
_HYDRAS_BYTES = 1 << 13  # about what these files have
HYDRAS_OWN = "${hydra:runtime.output_dir}"
_new: list[Path] = []  # folders that were not there before Hydra was started, innermost first


@contextmanager
def run_folder(folder: Path, first: bool, sweep_dir: Any = None) -> Iterator[None]:
    """Within this context ``folder`` is this run's.

    Args:
        first: Whether this is the first of the run's processes, which does this for all of them.
        sweep_dir: The run's setting.

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
        if not isinstance(error, ConfigError) and (trouble := disk_trouble(error)):
            raise ConfigError(
                f"output_dir={folder}: could not be written to: {trouble}; make room, and "
                + how_to_go_on(folder, sweep_dir)
            ) from error
        raise


def sweep_of(folder: str | Path, sweep_dir: Any) -> Path | None:
    """The folder of the sweep that the run in ``folder`` is a job of; None if it is a run by itself."""
    sweep = Path(str(sweep_dir)).absolute()
    return sweep if sweep in Path(folder).absolute().parents else None


def how_to_go_on(folder: str | Path, sweep_dir: Any) -> str:
    """Words for what has to be done so that the run in ``folder`` goes on; a job does so with its sweep."""
    sweep = sweep_of(folder, sweep_dir)
    where = shlex.quote(f"sweep_dir={sweep}" if sweep else f"output_dir={folder}")
    return f"repeat the command with {where}{'' if sweep else ' resume=auto'}"


def before_hydra(cfg: DictConfig, typed: Sequence[str]) -> list[str]:
    """Try to write where Hydra is going to, so that :func:`discard` can remove it again.

    Args:
        cfg: The composed config of a single run, with its ``hydra`` node.
        typed: The overrides of the command line.

    Returns:
        Overrides that fix this folder, whose name may hold the time of day, or take ``output_dir`` for it.
    """
    place, name = str(OmegaConf.select(cfg, "hydra.run.dir")), "hydra.run.dir"
    chosen = any(text.startswith("hydra.run.dir=") for text in typed)
    key = "hydra.env.folder.True" if cfg.get("dry_run") else "hydra.run.dir"  # a dry run deletes its folder
    if not chosen and "sweep_dir" in cfg and not cfg.get("dry_run"):
        raw: Any = OmegaConf.to_container(cfg, resolve=False)
        place, name = place if raw["output_dir"] == HYDRAS_OWN else str(cfg.output_dir), "output_dir"
    if place == ".":
        return []
    try_writing(name, Path(place).absolute())
    fixed = [] if chosen else [f"{key}={quoted(place)}"]
    if _has_begun(Path(place)) and not any(text.startswith("hydra.output_subdir=") for text in typed):
        fixed.append("hydra.output_subdir=null")  # what Hydra wrote there is of the run's own command
    return fixed


def try_writing(name: str, folder: Path) -> None:
    """Make ``folder`` and write to it, as Hydra is about to: it answers a full disk with a traceback.

    Raises:
        ConfigError: That failed; nothing is left.
    """
    writable_folder(name, folder)
    _new[:] = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_HYDRAS_BYTES))
    except OSError as error:
        discard()
        trouble = disk_trouble(error) or error.strerror
        raise ConfigError(f"{name}={folder}: could not be written to: {trouble}") from error


def discard() -> None:
    """Remove the folders that Hydra made for a run that was then refused, unless there is more in them."""
    for folder in filter(Path.is_dir, _new):
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

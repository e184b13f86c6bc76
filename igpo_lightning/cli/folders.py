"""Programs that take a folder: report, collect, dashboard, export and rescore.

They read their line, say what they take, and refuse a folder in the same way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from igpo_lightning.checks import ConfigError
from igpo_lightning.cli.arguments import version
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.terminal import guarded
from igpo_lightning.config import find_conf, quoted

Main = Callable[..., int | None]

RUN, EVALUATION = "run", "evaluation"
_MARKS = {  # files of which a folder of this kind has at least one
    RUN: (
        *("config.yaml", "summary.json", "provenance.json", "metrics/metrics.csv"),
        *("job.json", ".hydra/overrides.yaml"),
    ),
    EVALUATION: ("manifest.json",),
}


def program(
    name: str, run: Callable[[Any, list[str]], None], about: str, settings: Mapping[str, str] | None = None,
    of: str = "that of a training run", key: str = "folder", optional: bool = False,
) -> Main:  # fmt: skip
    """A program around ``run``, called with the folder and with the settings as they were typed.

    Args:
        name: Of its module.
        about: For ``--help``: what it does.
        settings: For ``--help``: ``"key=VALUE"`` and what it means.
        of: Whose folder it takes.
        key: By ``key=FOLDER`` the folder may be given, too.
        optional: Whether ``run`` may be called without a folder, with None.

    Returns:
        A function that takes ``sys.argv[1:]`` or other arguments and returns the exit status.
    """

    @guarded
    def main(argv: Sequence[str] | None = None) -> int:
        words = list(sys.argv[1:] if argv is None else argv)
        script = Path(sys.argv[0]).name
        called = script if script == f"igpo-{name}" else f"python -m igpo_lightning.{name}"
        if {"-h", "--help"} & {*words}:
            print(_help(called, about, of, settings or {}, "[FOLDER]" if optional else "FOLDER"))
        elif "--version" in words:
            print(version())
        else:
            folder, texts = _read(words, called, key, optional)
            try:
                run(folder, texts)
            except OSError as error:
                raise ConfigError(str(error)) from error
        return 0

    return main


def values(texts: Sequence[str], settings: Mapping[str, str]) -> dict[str, str]:
    """Settings by key, each of which has to be one of ``settings``, as :func:`program` has them.

    Raises:
        ConfigError: Another one, or one without a value.
    """
    names = {shape.partition("=")[0] for shape in settings}
    given = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in names or not value:
            raise ConfigError(f"{text}: expected {' or '.join(settings) or 'nothing but a folder'}")
        given[name] = value
    return given


def listed(text: str | None) -> tuple[str, ...]:
    """The parts of a setting that takes several, with commas between them."""
    return tuple(filter(None, (part.strip() for part in (text or "").split(","))))


def composed(config_name: str, key: str, folder: Path, texts: Sequence[str]) -> DictConfig:
    """The checked config of this name with these overrides and the folder as ``key``."""
    return check_command_line(find_conf(), config_name, [f"{key}={quoted(str(folder))}", *texts]).cfg


def check_kind(folder: Path, kind: str) -> None:
    """Refuse a folder that is not of this kind.

    Raises:
        ConfigError: It is none, with one that lies in it, if there is one.
    """
    if is_kind(folder, kind):
        return
    inner = next(_inside(folder, kind), None)
    if inner is None:
        raise ConfigError(f"{folder}: no {kind}s in it; give the folder of one")
    together = f", or python -m igpo_lightning.collect {folder} for all of them" if kind == RUN else ""
    raise ConfigError(f"{folder}: has {kind}s in it and is none; give one of them, such as {inner}{together}")


def is_kind(folder: Path, kind: str) -> bool:
    """True of the folder of a run, or of an evaluation, at whatever point it ended."""
    return any((folder / mark).exists() for mark in _MARKS[kind])


def _inside(folder: Path, kind: str) -> Iterator[Path]:
    for path, names, _ in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        if is_kind(Path(path), kind):
            yield Path(path)


def _read(words: list[str], called: str, key: str, optional: bool) -> tuple[Path | None, list[str]]:
    for word in words:
        if word.startswith("-"):
            raise ConfigError(f"{word}: no such flag; {called} --help says what there is")
    named = [word for word in words if word.startswith(f"{key}=")]
    if named and not Path(words[0]).is_dir():
        words = [named[0].partition("=")[2].strip("\"'"), *(word for word in words if word != named[0])]
    if not words or ("=" in words[0] and not Path(words[0]).is_dir()):
        if optional:
            return None, words
        raise ConfigError(f"give a folder: {called} FOLDER")
    if not words[0].strip():
        raise ConfigError("the folder is empty (is a variable of the script?)")
    folder = Path(words[0]).expanduser()
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise ConfigError(f"{folder}: {what}")
    return folder, words[1:]


def _help(called: str, about: str, of: str, settings: Mapping[str, str], folder: str) -> str:
    lines = [f"usage: {called} {folder}{' [key=value ...]' if settings else ''}", about.strip(), ""]
    lines += [f"FOLDER is {of}.", ""]
    if settings:
        width = max(map(len, settings))
        lines.append("settings (key=value):")
        for shape, meaning in settings.items():
            first, *more = meaning.splitlines()
            lines += [f"  {shape:{width}}  {first}", *(f"  {'':{width}}  {line.strip()}" for line in more)]
        lines.append("")
    flags = ["flags:", "  --help     print this, and stop", "  --version  print the version, and stop"]
    return "\n".join([*lines, *flags])

"""Flags: Hydra's own, read as Hydra reads them, with one line for what is no flag."""

from __future__ import annotations

import platform
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra

import igpo_lightning
from igpo_lightning.cli.hydra_private import get_args_parser
from igpo_lightning.errors import ConfigError


def version() -> str:
    """The version of this package and of what decides how it reads a command line."""
    return (
        f"igpo_lightning {igpo_lightning.__version__} "
        f"(Hydra {hydra.__version__}, Python {platform.python_version()})"
    )


def read_arguments(argv: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Read flags and overrides, in whatever order they were typed.

    Args:
        argv: What was typed after the program's name.

    Returns:
        The flags, with the overrides as ``overrides``, and the flags as they were typed: Hydra itself
        wants all overrides in one place, after them.

    Raises:
        ConfigError: Something is neither.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    arguments, extras = parser.parse_known_intermixed_args(list(argv))
    if extras:
        name, equals, value = extras[0].lstrip("-").partition("=")
        setting = f"{name.replace('-', '_')}={value if equals else '…'}"
        advice = "did you mean {}?" if equals else "a setting is typed key=value, without dashes: {}"
        raise ConfigError(f"{extras[0]}: no such flag; {advice.format(setting)}")
    for flag, folder in (("--config-path", arguments.config_path), ("--config-dir", arguments.config_dir)):
        if folder is None or folder.startswith("pkg://"):
            continue
        if not Path(folder).is_dir():
            raise ConfigError(f"{flag} {folder}: no such folder")
        if flag == "--config-path" and not Path(folder).is_absolute():
            raise ConfigError(f"{flag} {folder}: it takes an absolute path: {flag} {Path(folder).absolute()}")
    flags, left = [], list(arguments.overrides)
    for text in argv:
        if left and text == left[0]:
            left.pop(0)
        else:
            flags.append(text)
    return arguments, flags


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message.removeprefix('argument ')}; --help says what there is")

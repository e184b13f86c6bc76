"""Settings of a run beside those that this version has by default."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from igpo_lightning.config import composed

WEIGHTS = "starting_weights"  # a fingerprint that checkpoints and loggers have among the settings
# Where and how a run reports, not what it computes.
ASIDE = ("output_dir", "sweep_dir", "resume", "report", "dry_run", "callbacks", "logger", WEIGHTS)
_LONG_PATH = 24


def differing(config: str) -> list[tuple[str, Any, Any]]:
    """(key, its value, its default) of what a run's ``config.yaml`` sets differently, None for nothing.

    Nothing is said of a file that can't be read, and nothing if the defaults can't be composed.
    """
    try:
        own = yaml.safe_load(config)
        default = _defaults()
    except Exception:  # a page is to be had of any run, of whatever version
        return []
    if not isinstance(own, dict):
        return []
    mine, theirs = (dict(flat(values, str(own.get("output_dir", "")))) for values in (own, default))
    keys = [key for key in {**theirs, **mine} if key.partition(".")[0] not in ASIDE]
    return [(key, mine.get(key), theirs.get(key)) for key in keys if mine.get(key) != theirs.get(key)]


def flat(value: Any, own: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by dotted key: lists of plain values are tuples, paths in the ``own`` folder relative to it."""
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, own, f"{key}.{name}" if key else str(name))
    elif isinstance(value, str) and own and (value == own or value.startswith(own + os.sep)):
        yield key, "." + value.removeprefix(own)
    else:
        yield key, tuple(value) if isinstance(value, list) else value


def show(value: Any, most: int | None = 80) -> str:
    """A value as it would be typed, in one line; of a long path, its end.

    Args:
        most: Characters of a text; of a longer one both ends are shown. None: all of it.
    """
    if isinstance(value, str) and value.startswith(os.sep) and len(value) > _LONG_PATH:
        value = os.path.join("…", *Path(value).parts[-2:])
    if isinstance(value, tuple):
        return f"[{','.join(show(item, most) for item in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f"{value:g}" if isinstance(value, float) else in_one_line(str(value))
    return text if most is None else shortened(text, most)


def in_one_line(text: str) -> str:
    r"""The text with ``\n`` for the end of a line, and the like for other control characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """The text in ``most`` characters at most: both its ends, around an ellipsis."""
    head, tail = most - most // 3 - 1, most // 3
    return text if len(text) <= most else f"{text[:head]}…{text[-tail:]}"


def _defaults() -> Any:
    """The config that ``igpo-train`` composes of an empty command line."""
    from omegaconf import OmegaConf

    from igpo_lightning.sweeping import resolvers

    resolvers.register()
    config = composed(["output_dir=."], within_run=True)
    kept = [str(key) for key in config if key == "output_dir" or key not in ASIDE]
    return OmegaConf.to_container(OmegaConf.masked_copy(config, kept), resolve=True)

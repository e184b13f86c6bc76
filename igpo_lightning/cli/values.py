"""Values of another type than a key's: what was expected, and what is only written in another way."""

from __future__ import annotations

import os
import re
from typing import Any

from igpo_lightning.cli import quoting
from igpo_lightning.cli.hydra_private import Override, OverrideType
from igpo_lightning.cli.plain import is_interpolation, nodes
from igpo_lightning.errors import ConfigError
from igpo_lightning.paths import path_text

# Lightning accepts words, numbers, lists and objects for these, whatever their default is.
_ANY_TYPE = re.compile(r"hydra\.|hardware\.(devices|strategy|precision)\b")

# What is a path, and what is another name; needed where the default is null or missing.
_PATH = re.compile(r"(.*[._])?(path|dir|folder)|resume|rescore|run|checkpoint")
_NAME = re.compile(r"(.*\.)?(revision|config|split|model|tokenizer|dtype)")


def is_path(key: str) -> bool:
    """True if ``key`` holds the path of a file or a folder (or a hub id)."""
    return _PATH.fullmatch(key) is not None


def is_name(key: str, default: Any) -> bool:
    """True if ``key`` holds a text, so that 2024 is a name and no number."""
    if is_path(key):
        return True
    if takes_any(key):
        return False
    if default is None or default == "???":
        return _NAME.fullmatch(key) is not None
    return isinstance(default, str) and not is_interpolation(default) and default != "auto"


def takes_any(key: str) -> bool:
    """True if ``key`` takes words, numbers and lists alike."""
    return _ANY_TYPE.match(key) is not None


def as_names(override: Override, default: Any) -> str:
    """The override's text; a number or a boolean given as a name in quotes, ``~`` of a path expanded."""
    text, key = str(override.input_line), override.key_or_group
    if override.type is OverrideType.DEL or "=" not in text or not is_name(key, default):
        return text
    given = override.get_value_string().strip()
    parts = quoting.split(given) if override.is_choice_sweep() and "(" not in given else [given]
    values = override.value().list if override.is_choice_sweep() else [override.value()]
    if len(parts) != len(values):
        return text
    named = [_as_name(part, value, is_path(key)) for part, value in zip(parts, values, strict=True)]
    return text if named == parts else f"{override.get_key_element()}={','.join(named)}"


def _as_name(part: str, value: Any, path: bool) -> str:
    if isinstance(value, (bool, int, float)):
        return quoting.literal(part)
    value = getattr(value, "text", value)  # of a QuotedString
    if path and isinstance(value, str) and value.startswith("~"):
        return quoting.literal(os.path.expanduser(value))
    return part


def expected(default: Any, value: Any, key: str) -> str | None:
    """Description of what should have been given instead of ``value``; None if it will do."""
    if takes_any(key):
        return None
    if value is None:
        # A top-level key that has a value is read by the program itself, which needs one.
        return None if default is None or isinstance(default, dict) or "." in key else _kind(default)
    if default is None or default == "???" or is_interpolation(default) or is_interpolation(value):
        return None
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, (int, float)):
        fits = _is_number(value)
    elif isinstance(default, list):
        numeric = bool(default) and all(map(_is_number, default))
        fits = isinstance(value, list) or (numeric and _is_number(value))
    else:
        fits = isinstance(value, dict) == isinstance(default, dict)
    return None if fits else _kind(default)


def _kind(default: Any) -> str:
    for kind, said in (
        (bool, "true or false"),
        ((int, float), "a number"),
        (list, "a list such as [1,2]"),
        (dict, "settings of its own: set a key inside it, or null for none"),
    ):
        if isinstance(default, kind):
            return said
    return "a word"


def check_paths(plain: dict[str, Any]) -> None:
    """Refuse numbers, booleans and nothing at all where a path belongs, whoever wrote them."""
    for key, node in nodes(plain):
        for name, value in node.items():
            path = f"{key}.{name}" if key else str(name)
            scalar = isinstance(value, (str, bool, int, float))
            if scalar and value != "???" and is_path(path):
                path_text(path, value)


def expand_home(cfg: Any) -> None:
    """Expand ``~`` in the paths of a composed config (the command line's are expanded already)."""
    from omegaconf import OmegaConf

    for key, node in list(nodes(OmegaConf.to_container(cfg))):
        for name, value in node.items():
            path = f"{key}.{name}" if key else str(name)
            if isinstance(value, str) and value.startswith("~") and is_path(path):
                OmegaConf.update(cfg, path, os.path.expanduser(value))


def refuse_empty(override: Override) -> None:
    """Refuse ``key=`` with nothing after it."""
    text = str(override.input_line)
    if override.type is not OverrideType.DEL and not text.partition("=")[2].strip():
        key = override.get_key_element()
        raise ConfigError(
            f"{text}: nothing stands after the = (is a variable of the script empty?); "
            f"{key}=null if nothing is meant"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

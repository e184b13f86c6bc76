"""Names that the configuration does not have: the nearest that it has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from typing import Any

from igpo_lightning.cli.habits import RENAMED, keys_of
from igpo_lightning.cli.plain import is_interpolation, lookup
from igpo_lightning.errors import ConfigError

Flat = Mapping[str, Any]
Options = Callable[[str], list[str]]
"""The options of a group; none if there is no such group."""

TRAINER_NODES = ("hardware", "algo.trainer")
"""Nodes whose keys are arguments of Lightning's Trainer."""


def refuse_renamed(keys: Iterable[str]) -> None:
    """Refuse keys of earlier versions, and what is below them, with their names now."""
    for key in keys:
        for old, new in RENAMED.items():
            if key == old or key.startswith((f"{old}.", f"{old}/")):
                raise ConfigError(f"{key}: is now {new}{key.removeprefix(old)}")


def unknown_key(key: str, flat: Flat, groups: Sequence[str] = (), options: Options = lambda _: []) -> str:
    """Message about a key or group that does not exist: the right one, or what there is.

    Args:
        flat: The config without Hydra's own node, unless it is about that.
        groups: Names of groups that hold no node of the same name.
    """
    parent, _, leaf = key.rpartition(".")
    siblings = _siblings(parent, flat, groups)
    near = [f"{parent}.{name}" if parent else name for name in close(leaf, siblings)]
    if near and (parent or not keys_of(key)):
        return f"unknown key '{key}'{did_you_mean(near)}"
    if told := habit(key, flat, options):
        return f"unknown key '{key}'; here it is {told}"
    if near := near or _elsewhere(key, leaf, flat):
        return f"unknown key '{key}'{did_you_mean(near)}"
    here = f"{parent} has" if siblings and parent else "there are"
    return f"unknown key '{key}'; {here}: {', '.join(siblings or _siblings('', flat))}"


def habit(key: str, flat: Flat, options: Options = lambda _: []) -> str | None:
    """The key that another trainer's name has in this config."""
    for known in keys_of(key):
        try:
            value = lookup(flat, known.replace("/", "."))
        except KeyError:
            continue
        if named := options(known):
            return f"{known}=…, one of {', '.join(named)}"
        return f"{known}=… (now {value})" if isinstance(value, (bool, int, float)) else f"{known}=…"
    return None


def unread(flat: Flat, before: Flat) -> str | None:
    """The first key that is not in ``before`` and that nothing reads; None if there is none.

    A key beside those of the programs may be a note, which loggers keep, unless it looks like one of theirs.
    """
    referred = " ".join(value for value in flat.values() if is_interpolation(value))
    for key in flat:
        parent, _, leaf = key.rpartition(".")
        if key in before or _is_argument(key, flat) or _is_referred(key, referred):
            continue
        if before.get(parent) or close(leaf, _siblings(parent, before)) or keys_of(key):
            return key
    return None


def _is_argument(key: str, flat: Flat) -> bool:
    """True for an object and what is given to it, or is somewhere within that."""
    return any(f"{path}._target_" in flat or path in TRAINER_NODES for path in _ancestors(key))


def _is_referred(key: str, interpolations: str) -> bool:
    """True if an interpolation names the key, or what it is a part of or has parts of."""
    *holders, whole = map(_as_named, _ancestors(key))
    below = r"(?:[.\[][^,}]*)?"
    own = rf"(?:{whole}|\.+(?:\w+\.)*{_as_named(key.rpartition('.')[2])}){below}"
    return re.search(rf"[{{:,](?:{'|'.join([*holders, own])})[,}}]", interpolations) is not None


def _as_named(key: str) -> str:
    """A pattern of ``a.b`` that matches ``a[b]``, too."""
    first, *more = map(re.escape, key.split("."))
    return first + "".join(rf"(?:\.{part}|\[{part}\])" for part in more)


def other_program(error: str, program: str) -> str | None:
    """Message about an option that chooses in a group which ``program`` does not have, of Hydra's words."""
    if found := re.search(r"In '([\w/]+)/(\w+)': Could not override '([\w/]+)'", error):
        return f"{found[1]}={found[2]}: it chooses a {found[3]}, and {program}.yaml has none; take another"
    return None


def is_within(one: str, other: str) -> bool:
    """True if one of two keys is the other, or a part of it."""
    shorter, longer = sorted((f"{one}.", f"{other}."), key=len)
    return longer.startswith(shorter)


def _ancestors(key: str) -> list[str]:
    """``a``, ``a.b`` and ``a.b.c`` of ``a.b.c``."""
    return list(accumulate(key.split("."), "{}.{}".format))


def close(name: str, known: Collection[str]) -> list[str]:
    """The nearest of ``known``, best first."""
    return get_close_matches(name, list(known))


def did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _siblings(parent: str, flat: Flat, more: Sequence[str] = ()) -> list[str]:
    """Names beside that of a key whose parent is ``parent``."""
    if not parent:
        return list(dict.fromkeys([*(key for key in flat if "." not in key), *more]))
    return list(map(str, flat[parent])) if isinstance(flat.get(parent), dict) else []


def _elsewhere(key: str, leaf: str, flat: Flat) -> list[str]:
    """Keys in other places with the same last part, those first that hold a value of their own."""
    leaves = [path for path, value in flat.items() if not isinstance(value, dict)]
    same = [path for path in leaves if leaf and path.rpartition(".")[2] == leaf]
    own = [path for path in same if not is_interpolation(flat[path])]
    return (own or same)[:3] or get_close_matches(key, leaves, cutoff=0.75)

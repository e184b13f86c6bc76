"""Names that the configuration does not have: the nearest that it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from igpo_lightning.cli.habits import keys_of
from igpo_lightning.cli.plain import is_interpolation, leaves, lookup, nodes

Groups = Mapping[str, Sequence[str]]
"""Names of groups with their options."""


def unknown_key(key: str, plain: Mapping[str, Any], groups: Groups) -> str:
    """Message about a key or group that does not exist: the right one, or what there is."""
    tree = dict(plain) if key.startswith("hydra.") else {k: v for k, v in plain.items() if k != "hydra"}
    parent, _, leaf = key.rpartition(".")
    siblings = _siblings(parent, tree, groups)
    prefix = f"{parent}." if parent else ""
    near = [prefix + name for name in close(leaf, siblings)]
    if siblings and near and (parent or not keys_of(key)):
        return f"unknown key '{key}'{did_you_mean(near)}"
    if told := habit(key, tree, groups):
        return f"unknown key '{key}'; here it is {told}"
    near = near or _elsewhere(key, leaf, tree)
    if near:
        return f"unknown key '{key}'{did_you_mean(near)}"
    here = f"{parent} has" if siblings and parent else "there are"
    return f"unknown key '{key}'; {here}: {', '.join(siblings or list(map(str, tree)))}"


def added_keys(plain: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Keys that ``plain`` has beside others in nodes that ``before`` has without them."""
    known = {path: set(node) for path, node in nodes(before)}
    return [
        f"{path}.{name}" if path else str(name)
        for path, node in nodes(plain)
        if known.get(path) and not path.startswith("hydra") and "_target_" not in node
        for name in node
        if name not in known[path]
    ]


def misspelt(added: Sequence[str], plain: Mapping[str, Any], before: Mapping[str, Any]) -> str | None:
    """Message about the first added key that nothing refers to and that looks like one there is."""
    referred = " ".join(value for _, value in leaves(plain) if is_interpolation(value))
    for key in added:
        parent, _, leaf = key.rpartition(".")
        if f"{leaf}}}" not in referred and (close(leaf, _siblings(parent, before, {})) or keys_of(key)):
            return unknown_key(key, before, {})
    return None


def close(name: str, known: Collection[str]) -> list[str]:
    """The nearest of ``known``, best first."""
    return get_close_matches(name, list(known))


def did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _siblings(parent: str, tree: Mapping[str, Any], groups: Groups) -> list[str]:
    """Names beside that of a key whose parent is ``parent``."""
    if not parent:
        return [*map(str, tree), *(group for group in groups if group not in tree)]
    try:
        found = lookup(tree, parent)
    except KeyError:
        return []
    return list(map(str, found)) if isinstance(found, dict) else []


def habit(key: str, tree: Mapping[str, Any], groups: Groups = MappingProxyType({})) -> str | None:
    """The key that another trainer's name has in this config."""
    for known in keys_of(key):
        try:
            value = lookup(tree, known)
        except KeyError:
            continue
        if known in groups:
            return f"{known}=…, one of {', '.join(groups[known])}"
        return f"{known}=… (now {value})" if isinstance(value, (bool, int, float)) else f"{known}=…"
    return None


def _elsewhere(key: str, leaf: str, tree: Mapping[str, Any]) -> list[str]:
    """Keys in other places with the same last part, those first that hold a value of their own."""
    known = dict(leaves(tree))
    same = [path for path in known if leaf and path.rpartition(".")[2] == leaf]
    own = [path for path in same if not is_interpolation(known[path])]
    return (own or same)[:3] or get_close_matches(key, list(known), cutoff=0.75)

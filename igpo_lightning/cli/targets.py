"""Classes that a config names, and the arguments that it gives them: checked without importing them."""

from __future__ import annotations

import ast
from typing import Any

from omegaconf import OmegaConf

from igpo_lightning.cli.composed import UNKNOWN, Composed
from igpo_lightning.cli.names import TRAINER_NODES, close, did_you_mean, habit
from igpo_lightning.cli.plain import origin
from igpo_lightning.cli.signatures import Missing, Signature, annotation_of, inspect
from igpo_lightning.errors import ConfigError

_TRAINER = "lightning.pytorch.Trainer"
_NOT_THE_TRAINERS = ("hardware.threads",)
_KINDS = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


def check_targets(composed: Composed, before: Composed) -> None:
    """Refuse classes that don't exist, and arguments that they don't take or that can't be.

    Args:
        before: What the groups alone give: values are only checked where ``composed`` differs from it,
            since a program may fill in what a config leaves open.

    Raises:
        ConfigError: Naming the key and what would be right.
    """
    for path, node in composed.flat.items():
        if not isinstance(node, dict) or (path not in TRAINER_NODES and "_target_" not in node):
            continue
        key = f"{path}._target_"
        target = _TRAINER if path in TRAINER_NODES else composed.value(key)
        if target is None:
            raise ConfigError(f"{key}=null: expected a class or function, package.module.Name")
        if not isinstance(target, str):
            continue
        found = inspect(target)
        if isinstance(found, Missing):
            raise ConfigError(f"{origin(composed.flat, key)}={target}: {_missing(found)}")
        if found is not None:
            for argument in map(str, node):
                if not (argument.startswith("_") and argument.endswith("_")):  # Hydra's own
                    _check_argument(composed, before, path, argument, target.rpartition(".")[2], found)


def _check_argument(
    composed: Composed, before: Composed, path: str, argument: str, name: str, signature: Signature
) -> None:
    key = f"{path}.{argument}"
    told = habit(argument, composed.flat) if path in TRAINER_NODES else None
    if told and before.value(key) is None:
        raise ConfigError(f"{key}: here it is {told}")
    if argument not in signature.parameters:
        if signature.open or key in _NOT_THE_TRAINERS:
            return
        near = did_you_mean([f"{path}.{other}" for other in close(argument, signature.parameters)])
        told = habit(argument, composed.flat)
        if not near and told and not told.startswith(f"{key}="):
            raise ConfigError(f"{key}: here it is {told}")
        near = near or f"; {name} takes: {', '.join(signature.parameters) or 'nothing'}"
        raise ConfigError(f"{key}: {name} takes no such argument{near}")
    annotation, value = signature.parameters[argument], composed.value(key)
    if annotation is None or value is UNKNOWN or OmegaConf.is_config(value):
        return
    if value is None and "${hydra:" in str(composed.flat.get(origin(composed.flat, key))):
        return  # of a job, whose number is not known yet
    wanted = _wanted(annotation, value, signature.module)
    if wanted and value != before.value(key):
        shown = "null" if value is None else value
        raise ConfigError(f"{origin(composed.flat, key)}={shown}: expected {wanted}")


def _wanted(annotation: ast.expr, value: Any, module: str) -> str | None:
    """Description of what this annotation wants instead of ``value``; None if that will do."""
    types = _types(annotation, module)
    if value is None:
        takes_none = any(name in ("None", "Any", "object") or "Optional" in name for name in types)
        return None if takes_none else " or ".join(map(_said, types))
    types = [name for name in types if name != "None"]
    if isinstance(value, str) and all(map(_literals, types)):
        options = [option for name in types for option in _literals(name)]
        return None if value in options else f"one of {', '.join(map(str, options))}"
    if isinstance(value, (dict, list)) or not all(name in _KINDS for name in types):
        return None
    kinds = [_KINDS[name][0] for name in types]
    fits = bool in kinds if isinstance(value, bool) else any(isinstance(value, kind) for kind in kinds)
    return None if fits else " or ".join(map(_said, types))


def _types(annotation: ast.expr, module: str) -> list[str]:
    """The parts of ``a | b``, with aliases of the same module looked up."""
    if isinstance(annotation, ast.BinOp):
        return [*_types(annotation.left, module), *_types(annotation.right, module)]
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _types(ast.parse(annotation.value, mode="eval").body, module)
    if isinstance(annotation, ast.Name) and (alias := annotation_of(module, annotation.id)) is not None:
        return _types(alias, module)
    return [ast.unparse(annotation).removeprefix("typing.")]


def _literals(name: str) -> list[Any]:
    """The options of ``Literal[…]``."""
    return ast.literal_eval(name.removeprefix("Literal")) if name.startswith("Literal[") else []


def _said(name: str) -> str:
    """One type of an annotation in words."""
    if options := _literals(name):
        return f"one of {', '.join(map(str, options))}"
    return _KINDS[name][1] if name in _KINDS else {"str": "a text"}.get(name, f"a value ({name})")


def _missing(found: Missing) -> str:
    if not found.known:
        if not found.rest:
            return f"expected a dotted name, package.module.{found.name}"
        return f"there is no module '{found.name}' in this folder or the installed packages"
    rest = f".{found.rest}" if found.rest else ""
    near = [f"{found.known}.{name}{rest}" for name in close(found.name, found.siblings)]
    return f"{found.known} has no {found.name}{did_you_mean(near)}"

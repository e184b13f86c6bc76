"""Classes that a config names, and the arguments that it gives them: checked without importing them."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igpo_lightning.cli.plain import nodes, origin
from igpo_lightning.cli.signatures import Missing, Signature, annotation_of, inspect
from igpo_lightning.cli.unknown import close, did_you_mean, habit
from igpo_lightning.errors import ConfigError

_TRAINER = "lightning.pytorch.Trainer"
_OF_TRAINER = ("hardware", "algo.trainer")  # nodes whose keys are its arguments
_NOT_THE_TRAINERS = ("hardware.threads",)
_UNKNOWN = object()
_KINDS = {
    "int": (int, "a whole number"),
    "float": ((int, float), "a number"),
    "bool": (bool, "true or false"),
}


def check_targets(cfg: DictConfig, before: DictConfig) -> None:
    """Refuse classes that don't exist, and arguments that they don't take or that can't be.

    Args:
        cfg: The composed config.
        before: What the groups alone give: values are only checked where ``cfg`` differs from it, since
            a program may fill in what a config leaves open.

    Raises:
        ConfigError: Naming the key and what would be right.
    """
    plain = OmegaConf.to_container(cfg)
    for path, node in nodes({name: value for name, value in plain.items() if name != "hydra"}):
        if path not in _OF_TRAINER and "_target_" not in node:
            continue
        target = _TRAINER if path in _OF_TRAINER else _value(cfg, f"{path}._target_")
        if target is None:
            raise ConfigError(f"{path}._target_=null: expected a class or function, package.module.Name")
        if not isinstance(target, str):
            continue
        found = inspect(target)
        if isinstance(found, Missing):
            raise ConfigError(f"{origin(plain, f'{path}._target_')}={target}: {_missing(found)}")
        if found is not None:
            _check_arguments(cfg, before, plain, path, node, target, found)


def _check_arguments(
    cfg: DictConfig,
    before: DictConfig,
    plain: dict[str, Any],
    path: str,
    node: Mapping[str, Any],
    target: str,
    signature: Signature,
) -> None:
    name = target.rpartition(".")[2]
    for argument in map(str, node):
        if argument.startswith("_") and argument.endswith("_"):
            continue  # Hydra's own
        added = path in _OF_TRAINER and _value(before, f"{path}.{argument}") is None
        if added and (told := habit(argument, plain)):
            raise ConfigError(f"{path}.{argument}: here it is {told}")
        if argument not in signature.parameters:
            if signature.open or f"{path}.{argument}" in _NOT_THE_TRAINERS:
                continue
            near = did_you_mean([f"{path}.{other}" for other in close(argument, signature.parameters)])
            near = near or f"; {name} takes: {', '.join(signature.parameters) or 'nothing'}"
            raise ConfigError(f"{path}.{argument}: {name} takes no such argument{near}")
        value = _value(cfg, f"{path}.{argument}")
        if value is _UNKNOWN or OmegaConf.is_config(value) or _value(before, f"{path}.{argument}") == value:
            continue
        annotation = signature.parameters[argument]
        if annotation is not None and (wanted := _wanted(annotation, value, signature.module)):
            shown = "null" if value is None else value
            raise ConfigError(f"{origin(plain, f'{path}.{argument}')}={shown}: expected {wanted}")


def _wanted(annotation: ast.expr, value: Any, module: str) -> str | None:
    """Description of what this annotation wants instead of ``value``; None if that will do."""
    alternatives = _alternatives(annotation, module)
    names = [ast.unparse(part) for part in alternatives]
    if value is None:
        if any(name in ("None", "Any", "object") or "Optional" in name for name in names):
            return None
        return " or ".join(_said(part) for part in alternatives)
    if isinstance(value, str) and all(_literal(part) for part in alternatives if ast.unparse(part) != "None"):
        options = [option for part in alternatives for option in _literal(part)]
        return None if value in options else f"one of {', '.join(map(str, options))}"
    plain_kinds = [_KINDS[name] for name in names if name in _KINDS]
    if len(plain_kinds) != len([n for n in names if n != "None"]):
        return None
    boolean = isinstance(value, bool)
    fits = any(isinstance(value, kind) and (kind is bool) == boolean for kind, _ in plain_kinds)
    return None if fits else " or ".join(said for _, said in plain_kinds)


def _alternatives(annotation: ast.expr, module: str) -> list[ast.expr]:
    """The parts of ``a | b``, with aliases of the same module looked up."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return [*_alternatives(annotation.left, module), *_alternatives(annotation.right, module)]
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _alternatives(ast.parse(annotation.value, mode="eval").body, module)
    if isinstance(annotation, ast.Name) and annotation.id not in _KINDS:
        alias = annotation_of(module, annotation.id)
        return [annotation] if alias is None else _alternatives(alias, module)
    return [annotation]


def _literal(part: ast.expr) -> list[Any]:
    """The options of ``Literal[…]``."""
    if not isinstance(part, ast.Subscript) or ast.unparse(part.value).rpartition(".")[2] != "Literal":
        return []
    inner = part.slice.elts if isinstance(part.slice, ast.Tuple) else [part.slice]
    return [node.value for node in inner if isinstance(node, ast.Constant)]


def _said(part: ast.expr) -> str:
    name = ast.unparse(part)
    if options := _literal(part):
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


def _value(cfg: DictConfig, path: str) -> Any:
    try:
        plain = OmegaConf.select(cfg, path, throw_on_missing=False)
    except OmegaConfBaseException:
        return _UNKNOWN
    return plain

"""Signatures of dotted names, read from source without importing it.

Importing ``torch.optim.AdamW`` to see whether it exists takes seconds; finding and parsing its file takes
milliseconds. What can't be told from source (compiled modules, ``import *``, classes that inherit their
constructor) is left undecided.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_DEPTH = 8  # of imports that are followed from where a name stands to where it is defined


@dataclass(frozen=True)
class Missing:
    """A name that is not there.

    Attributes:
        known: The dotted part before it that exists; "" if not even the package does.
        name: The part that does not.
        rest: What comes after it.
        siblings: What does exist in its place.
    """

    known: str
    name: str
    rest: str = ""
    siblings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """The arguments of a function or of a class's constructor.

    Attributes:
        module: Where it is defined.
        parameters: Names with their annotations.
        open: It takes any further keyword.
    """

    module: str
    parameters: dict[str, ast.expr | None]
    open: bool = False


def inspect(target: str) -> Signature | Missing | None:
    """The signature of ``package.module.Name``, what is missing, or None if that can't be told."""
    return _inspect(target, _DEPTH)


@cache
def _inspect(target: str, depth: int) -> Signature | Missing | None:
    first, *parts = target.split(".")
    spec = _top_level(first)
    if spec is None:
        return Missing("", first, ".".join(parts))
    known = first
    while parts and (inner := _submodule(spec, f"{known}.{parts[0]}")) is not None:
        spec, known = inner, f"{known}.{parts.pop(0)}"
    if not parts:
        return None  # a module; whoever calls it will say so
    return _in_module(spec, known, parts, depth)


def _in_module(spec: ModuleSpec, known: str, parts: Sequence[str], depth: int) -> Signature | Missing | None:
    tree = _parse(spec.origin)
    if tree is None:
        return None
    name, *rest = parts
    defined = _definitions(tree)
    found = defined.get(name)
    if found is None:
        if "*" in defined or "__getattr__" in defined:
            return None
        return Missing(known, name, ".".join(rest), (*_public(defined), *_submodules(spec)))
    if isinstance(found, ast.ImportFrom):
        source = next(alias.name for alias in found.names if name in (alias.asname, alias.name))
        module = _absolute(found, known, spec.submodule_search_locations is not None)
        return _inspect(".".join([module, source, *rest]), depth - 1) if depth and module else None
    if rest or not isinstance(found, (ast.ClassDef, ast.FunctionDef)):
        return None  # a method, or a value that is called
    return _signature(found, spec, known, depth)


def _signature(
    found: ast.ClassDef | ast.FunctionDef, spec: ModuleSpec, module: str, depth: int
) -> Signature | None:
    if isinstance(found, ast.FunctionDef):
        return None if found.decorator_list else _of_function(found, module, skip=0)
    own = next(
        (node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None
    )
    if own is not None:
        signature = _of_function(own, module, skip=1)
        return _with_base(signature, own, found, spec, depth) if signature.open else signature
    if not any("dataclass" in ast.unparse(node) for node in found.decorator_list):
        return _of_base(found, spec, module, depth)
    if found.bases:
        return None
    fields = {
        node.target.id: node.annotation
        for node in found.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if not (node.value and "init=False" in ast.unparse(node.value))
    }
    return Signature(module, fields)


def _with_base(
    signature: Signature, own: ast.FunctionDef, found: ast.ClassDef, spec: ModuleSpec, depth: int
) -> Signature:
    """``signature`` with the base's parameters, if all further keywords go to it."""
    further = own.args.kwarg.arg if own.args.kwarg else ""
    hands_on = any(
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "super().__init__"
        and any(word.arg is None and ast.unparse(word.value) == further for word in call.keywords)
        for call in ast.walk(own)
    )
    base = _of_base(found, spec, signature.module, depth) if hands_on else None
    if base is None or base.module.partition(".")[0] != signature.module.partition(".")[0]:
        return signature
    return Signature(signature.module, {**base.parameters, **signature.parameters}, base.open)


def _of_base(found: ast.ClassDef, spec: ModuleSpec, module: str, depth: int) -> Signature | None:
    """The signature that a class inherits from its first base; None if that can't be told."""
    if not depth or not found.bases or not isinstance(found.bases[0], ast.Name) or found.keywords:
        return None
    base = _in_module(spec, module, [found.bases[0].id], depth - 1)
    return base if isinstance(base, Signature) else None


def _of_function(node: ast.FunctionDef, module: str, skip: int) -> Signature:
    arguments = [*node.args.posonlyargs, *node.args.args][skip:] + node.args.kwonlyargs
    return Signature(module, {arg.arg: arg.annotation for arg in arguments}, open=node.args.kwarg is not None)


def annotation_of(module: str, name: str) -> ast.expr | None:
    """The value of ``name = …`` at the top of a module, such as a type alias."""
    spec = _spec(module)
    tree = _parse(spec.origin) if spec else None
    found = _definitions(tree).get(name) if tree else None
    if isinstance(found, ast.ImportFrom) and spec is not None:
        source = next(alias.name for alias in found.names if name in (alias.asname, alias.name))
        return annotation_of(_absolute(found, module, spec.submodule_search_locations is not None), source)
    return found.value if isinstance(found, ast.Assign) else None


def _spec(module: str) -> ModuleSpec | None:
    first, *parts = module.split(".")
    spec, known = _top_level(first), first
    for part in parts:
        known = f"{known}.{part}"
        spec = _submodule(spec, known) if spec else None
    return spec


@cache
def _top_level(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):
        return None


@cache
def _found(name: str, locations: tuple[str, ...]) -> ModuleSpec | None:
    return PathFinder.find_spec(name, locations)


def _submodule(spec: ModuleSpec, name: str) -> ModuleSpec | None:
    return _found(name, tuple(spec.submodule_search_locations or ()))


def _submodules(spec: ModuleSpec) -> list[str]:
    names = (module.name for module in pkgutil.iter_modules(list(spec.submodule_search_locations or ())))
    return [name for name in names if not name.startswith("_")]


@cache
def _parse(origin: str | None) -> ast.Module | None:
    if origin is None or not origin.endswith(".py"):
        return None
    try:
        return ast.parse(Path(origin).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """Names at the top level of a module with the statements that define them; ``*`` for ``import *``."""
    found: dict[str, ast.stmt] = {}
    todo: list[ast.stmt] = list(tree.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            found[node.name] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update({alias.asname or alias.name.partition(".")[0]: node for alias in node.names})
        elif isinstance(node, ast.Assign):
            found.update({name.id: node for name in node.targets if isinstance(name, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        else:  # if, try, with
            inner = [getattr(node, field, []) for field in ("body", "orelse", "finalbody")]
            todo = [*inner[0], *inner[1], *inner[2], *todo]
            todo = [stmt for handler in getattr(node, "handlers", []) for stmt in handler.body] + todo
    return found


def _public(defined: dict[str, ast.stmt]) -> list[str]:
    return [name for name in defined if not name.startswith("_")]


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    """The module that a ``from … import`` names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*base, *([node.module] if node.module else [])])

"""Signatures of dotted names, read from source without importing it.

Importing ``torch.optim.AdamW`` to see whether it exists takes seconds; finding and parsing its file takes
milliseconds. What can't be told from source (compiled modules, ``import *``, decorated functions) is left
undecided.
"""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

_BARE = ("ABC", "Protocol", "Generic", "object")  # bases that take no arguments
_NO_FIELDS = ("KW_ONLY", "ClassVar", "dataclasses.KW_ONLY", "typing.ClassVar")  # annotations


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


@cache
def inspect(target: str) -> Signature | Missing | None:
    """The signature of ``package.module.Name``, what is missing, or None if that can't be told."""
    found = _resolve(target)
    if not isinstance(found, tuple):
        return found
    module, node = found
    if isinstance(node, ast.FunctionDef):
        return None if node.decorator_list else _of_function(node, module, skip=0)
    return _of_class(node, module) if isinstance(node, ast.ClassDef) else None


def annotation_of(module: str, name: str) -> ast.expr | None:
    """The value of ``name = …`` at the top of a module, such as a type alias."""
    found = _resolve(f"{module}.{name}")
    return found[1].value if isinstance(found, tuple) and isinstance(found[1], ast.Assign) else None


def _resolve(target: str) -> tuple[str, ast.stmt] | Missing | None:
    """The module that defines a dotted name, with the statement; None if that can't be told."""
    first, *parts = target.split(".")
    if (spec := _top_level(first)) is None:
        return Missing("", first, ".".join(parts))
    while parts and (inner := _submodule(spec, parts[0])) is not None:
        spec, parts = inner, parts[1:]
    defined = _definitions(spec.origin)
    if not parts or defined is None:
        return None  # a module (whoever calls it will say so), or one without source
    name, *rest = parts
    if name not in defined:
        if "*" in defined or "__getattr__" in defined:
            return None
        modules = (module.name for module in pkgutil.iter_modules(spec.submodule_search_locations or []))
        public = (name for name in (*defined, *modules) if not name.startswith("_"))
        return Missing(spec.name, name, ".".join(rest), tuple(public))
    node = defined[name]
    if isinstance(node, ast.Import) and rest:
        aliases = ((alias.asname or alias.name.partition(".")[0], alias) for alias in node.names)
        alias = next(alias for known, alias in aliases if known == name)
        return _resolve(".".join([alias.name if alias.asname else name, *rest]))
    if isinstance(node, ast.ImportFrom):
        source = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        module = importlib.util.resolve_name("." * node.level + (node.module or ""), spec.parent)
        return _resolve(".".join([module, source, *rest]))
    return None if rest else (spec.name, node)


def _of_class(node: ast.ClassDef, module: str) -> Signature | None:
    if (own := _method(node, "__init__")) is not None:
        signature = _of_function(own, module, skip=1)
        base = _of_base(node, module) if signature.open and _hands_on(own) else None
        if base is None:
            return signature
        # Annotations are looked up in one module, so those of another package are left out.
        is_ours = base.module.partition(".")[0] == module.partition(".")[0]
        theirs = base.parameters if is_ours else dict.fromkeys(base.parameters)
        return Signature(module, {**theirs, **signature.parameters}, base.open)
    if _is_dataclass(node):
        fields = _fields(node, module)
        return None if fields is None else Signature(module, fields)
    if node.decorator_list or node.keywords or {"__init__", "__new__"} & {*dict(_defined(node.body))}:
        return None
    return _of_base(node, module)


def _of_base(node: ast.ClassDef, module: str) -> Signature | None:
    """Signature of a class without a constructor of its own; None if that can't be told."""
    if not (bases := _bases(node)):
        return Signature(module, {})
    found = _resolve(f"{module}.{bases[0]}")
    if not isinstance(found, tuple) or not isinstance(found[1], ast.ClassDef) or found[1] is node:
        return None
    signature = _of_class(found[1], found[0])
    decides = signature is not None and (len(bases) == 1 or signature.parameters or signature.open)
    return signature if decides else None


def _bases(node: ast.ClassDef) -> list[str]:
    """Dotted names of the bases that may have a constructor."""
    bases = (base.value if isinstance(base, ast.Subscript) else base for base in node.bases)
    return [name for name in map(ast.unparse, bases) if name.rpartition(".")[2] not in _BARE]


def _fields(node: ast.ClassDef, module: str) -> dict[str, ast.expr | None] | None:
    """Fields of a dataclass, those of its bases first; None if they can't be told."""
    fields: dict[str, ast.expr | None] = {}
    for base in reversed(_bases(node)):
        found = _resolve(f"{module}.{base}")
        if not isinstance(found, tuple) or not isinstance(found[1], ast.ClassDef) or found[1] is node:
            return None
        theirs = _fields(found[1], found[0]) if _is_dataclass(found[1]) else {}
        if theirs is None:
            return None
        fields |= theirs
    return fields | {
        field.target.id: field.annotation
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if not ast.unparse(field.annotation).startswith(_NO_FIELDS)
        if not (field.value and "init=False" in ast.unparse(field.value))
    }


def _is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef))
    return next((method for method in methods if method.name == name), None)


def _hands_on(init: ast.FunctionDef) -> bool:
    """True if a constructor gives all further keywords to that of its base, and only that."""
    further = init.args.kwarg.arg if init.args.kwarg else ""
    uses = [name for name in ast.walk(init) if isinstance(name, ast.Name) and name.id == further]
    calls = (call for call in ast.walk(init) if isinstance(call, ast.Call))
    return len(uses) == 1 and any(
        ast.unparse(call.func) == "super().__init__" and ast.unparse(call).endswith(f"**{further})")
        for call in calls
    )


def _of_function(node: ast.FunctionDef, module: str, skip: int) -> Signature:
    arguments = [*node.args.posonlyargs, *node.args.args][skip:] + node.args.kwonlyargs
    return Signature(module, {arg.arg: arg.annotation for arg in arguments}, open=node.args.kwarg is not None)


@cache
def _top_level(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name) if name else None
    except (ImportError, ValueError):
        return None


def _submodule(spec: ModuleSpec, name: str) -> ModuleSpec | None:
    return PathFinder.find_spec(f"{spec.name}.{name}", spec.submodule_search_locations or [])


@cache
def _definitions(origin: str | None) -> dict[str, ast.stmt] | None:
    """Names at the top level of a module with their statements; ``*`` for ``import *``."""
    if origin is None or not origin.endswith(".py"):
        return None
    try:
        return dict(_defined(ast.parse(Path(origin).read_bytes()).body))
    except (OSError, SyntaxError, ValueError):
        return None


def _defined(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in statements:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((name.id, node) for name in targets if isinstance(name, ast.Name))
        else:  # if, try, with
            for part in ("body", "handlers", "orelse", "finalbody"):
                yield from _defined(getattr(node, part, []))

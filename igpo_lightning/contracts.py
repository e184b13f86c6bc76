"""Contracts of the parts that a config names, which may be one's own: attributes, and what they return.

Each check is of types and shapes alone, so none waits for a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from .errors import ConfigError


def part(key: str, value: Any, *attributes: str) -> Any:
    """``value``, if it can be called and has these attributes.

    Raises:
        ConfigError: Naming ``key`` and what is missing.
    """
    missing = [name for name in attributes if not hasattr(value, name)]
    if missing or not callable(value):
        lacks = f"has no {missing[0]}" if missing else "can't be called"
        has = f", and has {' and '.join(attributes)}" if attributes else ""
        raise ConfigError(f"{key}: {_name(value)} {lacks}; such a part can be called{has}")
    return value


def tensor(key: str, of: Any, value: Any, *shapes: Sequence[int], boolean: bool = False) -> Tensor:
    """``value``, which the part ``of`` returned, if it is a real (or boolean) tensor of one of ``shapes``.

    Whole numbers and booleans count as what is wanted.

    Raises:
        ConfigError: Naming ``key``, the part, what came and what would be right.
    """
    if isinstance(value, Tensor) and any(tuple(value.shape) == tuple(shape) for shape in shapes):
        if boolean and not value.is_floating_point() and not value.is_complex():
            return value.to(torch.bool)
        if not boolean and not value.is_complex():
            return value if value.is_floating_point() else value.to(torch.float32)
    kind = "bool" if boolean else "real numbers"
    refuse(key, of, value, f"a tensor {' or '.join(str(list(shape)) for shape in shapes)} of {kind}")


def pair(key: str, of: Any, value: Any, wanted: str) -> tuple[Any, Any]:
    """The two values that the part ``of`` returned; ``wanted`` says what they should be.

    Raises:
        ConfigError: They are not two.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        refuse(key, of, value, wanted)
    return value


def refuse(key: str, of: Any, value: Any, wanted: str) -> NoReturn:
    """Raise the error about what a part returned."""
    raise ConfigError(f"{key}: {_name(of)} returned {_said(value)}; expected {wanted}")


def _name(of: Any) -> str:
    return getattr(of, "__name__", type(of).__name__)


def _said(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)} of {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_said, value))})"
    return "None" if value is None else f"a {type(value).__name__}"

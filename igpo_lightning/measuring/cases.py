"""Cases, which are named lists of overrides, and points of a sweep, at which one size takes another value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, ListConfig

from ..checks import ConfigError, positive_int
from .workload import Workload, sharing

Compose = Callable[[Sequence[str]], DictConfig]  # further overrides → the config with these


def cases_of(
    cfg: DictConfig, what: str, base: Workload, compose: Compose, without: Collection[str] = ()
) -> Iterator[tuple[str, list[str], Workload]]:
    """(name, overrides, workload) of each case of one kind of work, on shared weights and prompts.

    Args:
        cfg: With ``cases``: kind of work → name → overrides.
        base: What they share.
        without: Cases that set one of these keys are left out.

    Raises:
        ConfigError: Its overrides are none, or change what has to be the same for all.
    """
    for name, given in (cfg.cases.get(what) or {}).items():
        key = f"cases.{what}.{name}"
        if given is None:  # taken out on the command line
            continue
        if isinstance(given, str) or not all(isinstance(text, str) for text in given):
            raise ConfigError(f"{key}={given}: expected a list of overrides, such as [sampler.steps=8]")
        changes = list(given)
        if {text.partition("=")[0] for text in changes} & {*without}:
            continue
        if not changes:
            yield str(name), changes, base
            continue
        try:
            changed = compose(changes)
        except ConfigError as error:
            raise ConfigError(f"{key}: {error}") from error
        yield str(name), changes, sharing(base, changed, key)


@dataclass(frozen=True)
class Point:
    """One value of one size.

    Attributes:
        key: Of ``sweep``.
        value: Its value.
        overrides: That set it.
        what: Kinds of work that depend on it.
        new_model: Whether it is a size of the model.
    """

    key: str
    value: int
    overrides: list[str]
    what: list[str]
    new_model: bool = False

    @property
    def name(self) -> str:
        return f"sweep.{self.key}={self.value}"

    @property
    def keys(self) -> list[str]:
        """Keys that the overrides set."""
        return [text.partition("=")[0] for text in self.overrides]


def _length(value: int, cfg: Any) -> list[str]:
    steps, rest = divmod(value * cfg.sampler.steps, cfg.sampler.length)
    if rest:
        raise ConfigError(
            f"sweep.length={value}: at {cfg.sampler.steps} steps for {cfg.sampler.length} tokens it has no "
            "whole number of steps"
        )
    return [f"sampler.length={value}", f"sampler.steps={steps}"]


_OVERRIDES: dict[str, Callable[[int, Any], list[str]]] = {
    "batch": lambda value, cfg: [f"batch={value}"],
    "length": _length,
    "vocabulary": lambda value, cfg: [f"vocabulary={value}"],
    "num_generations": lambda value, cfg: [f"algo.num_generations={value}"],
    "steps": lambda value, cfg: [f"sampler.steps={value}"],
}
_SAMPLING_ONLY = ("batch", "steps")


def points_of(cfg: DictConfig) -> Iterator[Point]:
    """All points that ``cfg.sweep`` asks for, in its order.

    Raises:
        ConfigError: A value is none, or the vocabulary of a loaded model is to change.
    """
    for key, values in cfg.sweep.items():
        if values is None:
            continue
        name = f"sweep.{key}"
        if key not in _OVERRIDES:
            raise ConfigError(f"{name}: unknown; there are {', '.join(_OVERRIDES)}")
        if not isinstance(values, ListConfig) or not values:
            raise ConfigError(f"{name}={values}: expected a list such as [1,4,16]")
        if key == "vocabulary" and cfg.model.path is not None and cfg.weights is None:
            raise ConfigError(f"{name}: a loaded model has its own; weights=random can have any")
        what = [kind for kind in cfg.what if kind == "sampling" or key not in _SAMPLING_ONLY]
        for value in values:
            overrides = _OVERRIDES[str(key)](positive_int(name, value), cfg)
            if what:
                yield Point(str(key), value, overrides, what, new_model=key == "vocabulary")

"""One composed config: its keys laid flat, its values as a job will see them."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from igpo_lightning.cli.names import close, did_you_mean, refuse_renamed
from igpo_lightning.cli.plain import flatten, is_interpolation, lookup, one_line
from igpo_lightning.cli.values import is_path
from igpo_lightning.errors import ConfigError
from igpo_lightning.paths import path_text

UNKNOWN = object()
"""A value that only a run will know."""

_VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
_RESOLVER = re.compile(r"Unsupported interpolation type ([\w.]+)")
_KEY = re.compile(r"Interpolation key '([^']*)' not found")
_KNOWN = ("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.keys", "oc.dict.values", "hydra", "now")


class Composed:
    """A composed config.

    Attributes:
        cfg: With its ``hydra`` node.
        all: Every node and leaf by its dotted key, interpolations unresolved.
        flat: The same without Hydra's.
        choices: The chosen option of each group, Hydra's included.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        plain: Any = OmegaConf.to_container(cfg)
        self.all = flatten(plain)
        self.flat = {key: value for key, value in self.all.items() if key.partition(".")[0] != "hydra"}
        self.choices: dict[str, Any] = plain["hydra"]["runtime"]["choices"]
        self._resolved: dict[str, Any] = {}

    def changed(self, overrides: Sequence[Override]) -> Composed:
        """This config with other values, set as Hydra sets them."""
        cfg = copy.deepcopy(self.cfg)
        for override in overrides:
            OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True, force_add=True)
        return Composed(cfg)

    def default(self, key: str) -> Any:
        """The value of a key as it is written; None if there is no such key."""
        try:
            return lookup(self.all, key)
        except KeyError:
            return None

    def value(self, key: str) -> Any:
        """The value of a key as a job will see it, or UNKNOWN; None if there is no such key."""
        if not is_interpolation(self.flat.get(key)):
            return self.flat.get(key)
        if key not in self._resolved:
            try:
                self._resolved[key] = OmegaConf.select(self.cfg, key)
            except OmegaConfBaseException:
                self._resolved[key] = UNKNOWN
        return self._resolved[key]

    def check_complete(self) -> None:
        """Refuse what no job could read.

        That is keys of earlier versions; numbers, booleans and nothing at all where a path belongs; values
        that are missing; interpolations that lead nowhere.

        Raises:
            ConfigError: Naming the key, and the variable, key or resolver that is not there.
        """
        refuse_renamed(self.flat)
        for key, value in self.flat.items():
            if isinstance(value, (str, bool, int, float)) and value != "???" and is_path(key):
                path_text(key, value)
        with self.as_in_a_job():
            for key in (*self.flat, "hydra.run.dir", "hydra.sweep.dir"):
                if self.all[key] == "???":
                    raise ConfigError(f"{key} has no default: give {key}=…")
                if is_interpolation(self.all[key]):
                    self._check_interpolation(key)

    def _check_interpolation(self, key: str) -> None:
        try:
            self._resolved[key] = OmegaConf.select(self.cfg, key)
        except InterpolationToMissingValueError:
            return  # only known during a run, such as Hydra's output folder
        except OmegaConfBaseException as error:
            text = one_line(error).partition(" full_key")[0]
            if "InterpolationToMissingValueError" not in text and "MissingMandatoryValue" not in text:
                raise ConfigError(f"{key}={self.all[key]}: {_reason(text)}") from error

    @contextmanager
    def as_in_a_job(self) -> Iterator[None]:
        """``${hydra:…}`` as within a run."""
        instance = HydraConfig.instance()
        former, read_only = instance.cfg, OmegaConf.is_readonly(self.cfg.hydra)
        instance.set_config(self.cfg)
        try:
            yield
        finally:
            instance.cfg = former
            OmegaConf.set_readonly(self.cfg.hydra, read_only)


def expand_home(cfg: DictConfig) -> None:
    """Expand ``~`` in the paths of a config, in place (the command line's are expanded already)."""
    for key, value in flatten(OmegaConf.to_container(cfg)).items():
        if isinstance(value, str) and value.startswith("~") and is_path(key):
            OmegaConf.update(cfg, key, os.path.expanduser(value))


def _reason(text: str) -> str:
    """OmegaConf's words about an interpolation, in better ones where there are any."""
    if found := _VARIABLE.search(text):
        name = found[1]
        return f"the environment variable {name} is not set; set it, or give a default: ${{oc.env:{name},…}}"
    if found := _RESOLVER.search(text):
        near = [known for known in _KNOWN if known.rpartition(".")[2] == found[1]] or close(found[1], _KNOWN)
        return f"there is no resolver '{found[1]}'{did_you_mean(near)}"
    if found := _KEY.search(text):
        refuse_renamed([found[1]])
    return text

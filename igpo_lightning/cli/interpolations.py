"""Values that are missing, and interpolations that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from igpo_lightning.cli.plain import is_interpolation, leaves, lookup, one_line
from igpo_lightning.cli.unknown import close, did_you_mean
from igpo_lightning.errors import ConfigError

_VARIABLE = re.compile(r"Environment variable '([^']*)' not found")
_RESOLVER = re.compile(r"Unsupported interpolation type ([\w.]+)")
_KNOWN = ("oc.env", "oc.select", "oc.decode", "oc.create", "oc.dict.keys", "oc.dict.values", "hydra", "now")


def check_complete(cfg: DictConfig) -> None:
    """Refuse values that are still missing and interpolations that can't be resolved.

    Args:
        cfg: A composed config with its ``hydra`` node.

    Raises:
        ConfigError: Naming the key, and the variable, key or resolver that is not there.
    """
    plain = OmegaConf.to_container(cfg)
    with as_in_a_job(cfg):
        for path, value in leaves({name: node for name, node in plain.items() if name != "hydra"}):
            if value == "???":
                raise ConfigError(f"{path} has no default: give {path}=…")
            if is_interpolation(value):
                _check_interpolation(cfg, path, value)
        for path in ("hydra.run.dir", "hydra.sweep.dir"):
            _check_interpolation(cfg, path, lookup(plain, path))


def _check_interpolation(cfg: DictConfig, path: str, value: Any) -> None:
    try:
        OmegaConf.select(cfg, path)
    except InterpolationToMissingValueError:
        return  # only known during a run, such as Hydra's output folder
    except InterpolationKeyError as error:
        raise ConfigError(f"{path}={value}: {one_line(error).partition(' full_key')[0]}") from error
    except (InterpolationResolutionError, OmegaConfBaseException) as error:
        said = _reason(error)
        if said:
            raise ConfigError(f"{path}={value}: {said}") from error


def _reason(error: Exception) -> str | None:
    text = one_line(error).partition(" full_key")[0]
    if found := _VARIABLE.search(text):
        name = found[1]
        return f"the environment variable {name} is not set; set it, or give a default: ${{oc.env:{name},…}}"
    if isinstance(error, UnsupportedInterpolationType) and (found := _RESOLVER.search(text)):
        near = [known for known in _KNOWN if known.rpartition(".")[2] == found[1]] or close(found[1], _KNOWN)
        return f"there is no resolver '{found[1]}'{did_you_mean(near)}"
    if "InterpolationToMissingValueError" in text or "MissingMandatoryValue" in text or "???" in text:
        return None
    return text


@contextmanager
def as_in_a_job(cfg: DictConfig) -> Iterator[None]:
    """``${hydra:…}`` as within a run of ``cfg``."""
    instance = HydraConfig.instance()
    former, read_only = instance.cfg, OmegaConf.is_readonly(cfg.hydra)
    instance.set_config(cfg)
    try:
        yield
    finally:
        instance.cfg = former
        OmegaConf.set_readonly(cfg.hydra, read_only)

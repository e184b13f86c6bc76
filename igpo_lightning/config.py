"""The configuration: its files, beside the package or (in a wheel) inside it, and the objects it names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from .errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
_hydras_own = threading.Lock()  # Hydra has one state for all threads


def resolved_yaml(cfg: DictConfig) -> str:
    """``cfg`` as YAML without interpolations, so that ``OmegaConf.load`` gives the same values again.

    A text may hold a ``${`` of its own (LaTeX: ``$x = ${\\boxed{3}}$``); it is written ``\\${``.
    """
    return OmegaConf.to_yaml(OmegaConf.create(_escaped(OmegaConf.to_container(cfg, resolve=True))))


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return _literal(value) if isinstance(value, str) else value


def _literal(text: str) -> str:
    """``text`` with no interpolation in it."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def saved_config(path: Path, *keys: str) -> DictConfig:
    """The config that a run has left in its folder.

    Raises:
        ConfigError: It can't be read, is empty or no mapping, or lacks one of ``keys``.
    """
    try:
        cfg = OmegaConf.load(path)
        lacks = [key for key in keys if OmegaConf.select(cfg, key) is None]
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException) as error:
        raise ConfigError(f"{path}: not a config that can be read ({' '.join(str(error).split())})") from None
    if not isinstance(cfg, DictConfig) or not cfg or lacks:
        why = f"it has no {lacks[0]}" if lacks else "it holds no keys"
        raise ConfigError(f"{path}: not the config of a run: {why}")
    return cfg


def quoted(text: str) -> str:
    """``text`` as Hydra's command line takes it, whatever is in it."""
    return QuotedString(text=_literal(text), quote=Quote.single).with_quotes()


def composed(overrides: Iterable[str], program: str = "train", *, within_run: bool = False) -> DictConfig:
    """Compose the config of a program from Python, as its command line with these overrides would.

    Args:
        program: Name of the main config.
        within_run: In a run, look where that looks: also in the folder of its ``--config-dir``.
    """
    with _hydras_own:
        hydra = GlobalHydra.instance()
        if within_run and hydra.is_initialized():
            return compose(program, list(overrides))
        theirs, hydra.hydra = hydra.hydra, None  # of a program that uses this package as a library
        try:
            with initialize_config_dir(str(find_conf()), version_base="1.3"):
                return compose(program, list(overrides))
        finally:
            GlobalHydra.instance().hydra = theirs  # which may be another object now


def construct(node: Any, **values: Any) -> Any:
    """The object that ``node`` names by ``_target_``, with all objects within it.

    Lists and nodes become plain lists and dicts. Left to itself, Hydra would put objects into nodes of its
    own, where a dataclass or attrs class is taken for the schema of a config and is no longer callable.

    Args:
        node: Of a composed config; None gives None.
        **values: Further arguments: numbers and texts. Objects are given by a call, of ``_partial_=True``.
    """
    if OmegaConf.is_config(node):
        # Hydra resolves a config in place and then reads it: a text with a ``${`` of its own is read twice.
        node = _escaped(_escaped(OmegaConf.to_container(node, resolve=True)))
    return instantiate(node, _convert_="all", **values)


def build_algorithm(cfg: DictConfig, reward: Any | None = None) -> Any:
    """The algorithm of a composed config with all its pieces, each of them built once.

    Args:
        reward: Another one than the config's.
    """
    algorithm = construct(cfg.algo, _partial_=True)
    reward = construct(cfg.reward) if reward is None else reward
    return algorithm(sampler=construct(cfg.sampler), reward=reward, seed=cfg.seed)


def find_conf(package: Path = _PACKAGE) -> Path:
    """The first of ``package/conf`` and ``package/../conf`` that holds ``train.yaml``.

    Raises:
        FileNotFoundError: Neither does, so the installation is broken.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no train.yaml in {candidates[0]} or {candidates[1]}: reinstall igpo-lightning")

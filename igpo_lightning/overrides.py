"""The command line against the configuration tree, before anything heavy is imported.

Hydra refuses most wrong overrides by itself, but with a traceback, without the nearest right name,
and not the value of the wrong type. Here every refusal is one :class:`ConfigError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, OmegaConfBaseException

from igpo_lightning.checks import ConfigError, check_config
from igpo_lightning.sweeping.plugins import how_to_install

MAX_CHOICES = 64  # of one swept key; MAX_VARIANTS bounds the whole check to about two seconds
MAX_VARIANTS = 32

# Lightning accepts words, numbers, lists and objects for these, whatever their default is.
_ANY_TYPE = re.compile(r"hydra\.|hardware\.(devices|strategy|precision)\b")


def check_command_line(
    conf: Path,
    config_name: str,
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    extra: Path | None = None,
) -> DictConfig:
    """Compose ``config_name`` as Hydra will, and check it; of a sweep, every choice of every key.

    Args:
        conf: Folder of the configuration tree.
        overrides: As typed; sweeps (``a=1,2``) are allowed with ``multirun`` or ``hydra.mode=MULTIRUN``.
        extra: A second folder to search first (Hydra's ``--config-dir``).

    Returns:
        The config of the first job, with its ``hydra`` node.

    Raises:
        ConfigError: Naming the override and what would be right.
    """
    with open_tree(conf, config_name, extra) as tree:
        choices = [tree.choices(text) for text in overrides]
        first = tree.check([texts[0] for texts in choices])
        variants = islice(_one_at_a_time(choices), 1, MAX_VARIANTS)
        if multirun or first.hydra.mode == RunMode.MULTIRUN:
            typed = {tree.parse(texts[0]).key_or_group for texts in choices}
            swept = OmegaConf.select(first, "hydra.sweeper.params") or {}
            if more := [tree.choices(f"{key}={swept[key]}") for key in swept if key not in typed]:
                variants = islice(_one_at_a_time(choices + more), MAX_VARIANTS)
        elif swept_texts := [text for text, texts in zip(overrides, choices, strict=True) if len(texts) > 1]:
            raise ConfigError(f"{swept_texts[0]}: several values are a sweep: add -m, or quote it: '\"…\"'")
        for variant in variants:
            tree.check(variant)
    return first


def swept_keys(
    conf: Path, config_name: str, overrides: Sequence[str], cfg: DictConfig, extra: Path | None = None
) -> dict[str, int | None]:
    """The keys of a sweep with the number of their values; None for an interval.

    Args:
        cfg: What :func:`check_command_line` gave for the other arguments.
    """
    params = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    with open_tree(conf, config_name, extra) as tree:
        parsed = {key: tree.parse(f"{key}={value}") for key, value in params.items()}
        parsed |= {override.key_or_group: override for override in map(tree.parse, overrides)}
        return {
            key: None if override.is_interval_sweep() else len(tree.choices(override.input_line))
            for key, override in parsed.items()
            if override.is_sweep_override()
        }


@contextmanager
def open_tree(conf: Path, config_name: str, extra: Path | None = None) -> Iterator[ConfigTree]:
    """The tree in ``conf``, with ``extra`` searched first; Hydra's global state is put back after."""
    if extra is not None and not extra.is_dir():
        raise ConfigError(f"--config-dir {extra}: no such folder")
    with initialize_config_dir(str(conf), version_base="1.3"):
        if extra is not None:
            search_path = create_config_search_path(str(conf))
            search_path.prepend("command-line", f"file://{extra.resolve()}")
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2("igpo_lightning", search_path)
        yield ConfigTree(config_name)


class ConfigTree:
    """The configuration tree that Hydra is initialised with, and the checks of overrides against it."""

    def __init__(self, config_name: str) -> None:
        self.config_name = config_name
        self._loader = GlobalHydra.instance().config_loader()
        self._parser = OverridesParser.create(config_loader=self._loader)
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def parse(self, text: str) -> Override:
        try:
            return self._parser.parse_overrides([text])[0]
        except HydraException as error:
            raise ConfigError(f"{text}: {_line(error).partition(' See https')[0]}") from error

    def choices(self, text: str) -> list[str]:
        """The overrides a sweep stands for, or the override itself."""
        override = self.parse(text)
        if not override.is_sweep_override():
            return [text]
        value = override.value()
        if isinstance(value, IntervalSweep):
            values = [f"{value.start:g}", f"{value.end:g}"]
        else:
            values = list(islice(override.sweep_string_iterator(), MAX_CHOICES))
        if not values:
            raise ConfigError(f"{text}: matches no option; {self._options_text(override.key_or_group)}")
        return [f"{override.get_key_element()}={value}" for value in values]

    def groups(self, parent: str = "") -> Iterator[str]:
        """Names of all config groups but Hydra's own, such as "algo"."""
        for name in self._loader.list_groups(parent):
            group = f"{parent}/{name}" if parent else name
            if group != "hydra":
                if self.options(group):
                    yield group
                yield from self.groups(group)

    def options(self, group: str) -> list[str]:
        from hydra.core.object_type import ObjectType

        options = self._loader.get_group_options(group, ObjectType.CONFIG)
        return sorted(option for option in options if not option.startswith("_"))

    def check(self, texts: Sequence[str]) -> DictConfig:
        """Compose overrides that hold no sweep; refuse wrong names, types and meanings."""
        parsed = [self.parse(text) for text in texts]
        if any(o.key_or_group == "hydra.searchpath" for o in parsed):
            parsed = []  # names may come from folders that only Hydra's own composition sees
        choose = [o for o in parsed if self.options(o.key_or_group)]
        for override in choose:
            self._check_option(override)
        base = self.base([o.input_line for o in choose])
        plain = OmegaConf.to_container(base)
        for override in parsed:
            if override not in choose and override.type in (OverrideType.CHANGE, OverrideType.DEL):
                self._check_value(override, plain)
        cfg = self._compose(texts)
        _check_complete(cfg)
        check_config(cfg)
        return cfg

    def base(self, texts: Sequence[str]) -> DictConfig:
        """The config that a choice of groups alone gives."""
        key = tuple(texts)
        if key not in self._bases:
            self._bases[key] = self._compose(texts)
        return self._bases[key]

    def _compose(self, texts: Sequence[str]) -> DictConfig:
        try:
            return compose(self.config_name, overrides=list(texts), return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            if hint := how_to_install(getattr(error, "missing_cfg_file", None)):
                chosen = next((text for text in texts if text.startswith("sweep=")), "sweep")
                raise ConfigError(f"{chosen}: {hint}") from error
            cause = f": {_line(error.__cause__)}" if error.__cause__ else ""
            raise ConfigError(_line(error) + cause) from error

    def _check_option(self, override: Override) -> None:
        group, value = override.key_or_group, override.value()
        for option in value if isinstance(value, list) else [value]:
            folder, _, leaf = f"{group}/{option}".removesuffix(".yaml").rpartition("/")
            if isinstance(option, str) and leaf not in self.options(folder):
                if hint := how_to_install(f"{folder}/{leaf}"):
                    raise ConfigError(f"{override.input_line}: {hint}")
                near = _did_you_mean(get_close_matches(option, self.options(group)))
                raise ConfigError(f"{override.input_line}: no such option{near}; {self._options_text(group)}")

    def _options_text(self, group: str) -> str:
        return f"{group} is one of: {', '.join(self.options(group))}"

    def _check_value(self, override: Override, plain: dict[str, Any]) -> None:
        key = override.key_or_group
        try:
            default = _lookup(plain, key)
        except KeyError:
            raise ConfigError(self._unknown(key, plain)) from None
        expected = _expected(default, _unquote(override.value()))
        if override.type is OverrideType.CHANGE and expected and not _ANY_TYPE.match(key):
            raise ConfigError(f"{override.input_line}: expected {expected} (the default is {default})")

    def _unknown(self, key: str, plain: dict[str, Any]) -> str:
        """What to say of a key or group that does not exist."""
        tree = plain if key.startswith("hydra.") else {k: v for k, v in plain.items() if k != "hydra"}
        parent, _, leaf = key.rpartition(".")
        try:
            siblings = _lookup(tree, parent) if parent else {**tree, **dict.fromkeys(self.groups())}
        except KeyError:
            siblings = {}
        siblings = siblings if isinstance(siblings, dict) else {}
        prefix = f"{parent}." if parent else ""
        near = [prefix + name for name in get_close_matches(leaf, list(map(str, siblings)))]
        if not near:
            paths = list(_paths(tree))
            near = [p for p in paths if leaf and p.rpartition(".")[2] == leaf][:3]
            near = near or get_close_matches(key, paths, cutoff=0.75)
        if elsewhere := self._elsewhere(key, plain):
            return f"unknown key '{key}'{elsewhere}"
        if near:
            return f"unknown key '{key}'{_did_you_mean(near)}"
        here = f"{parent} has" if siblings and parent else "there are"
        return f"unknown key '{key}'; {here}: {', '.join(map(str, siblings or tree))}"

    def _elsewhere(self, key: str, plain: dict[str, Any]) -> str:
        """For a key that another option of its group has: which."""
        group = key.partition(".")[0]
        chosen = plain["hydra"]["runtime"]["choices"].get(group)
        having = []
        for option in self.options(group) if chosen and "." in key else ():
            try:
                _lookup(OmegaConf.to_container(self.base([f"{group}={option}"])), key)
                having.append(f"{group}={option}")
            except (KeyError, ConfigError):
                continue
        return f" with {group}={chosen}; it exists with {', '.join(having)}" if having else ""


def _one_at_a_time(choices: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The first choice of everything, then every other choice with the rest at the first."""
    first = [texts[0] for texts in choices]
    yield first
    for i, texts in enumerate(choices):
        for text in texts[1:]:
            yield [*first[:i], text, *first[i + 1 :]]


def _check_complete(cfg: DictConfig) -> None:
    """Refuse values that are still missing and interpolations of keys that don't exist."""
    plain = OmegaConf.to_container(cfg)
    for path in _paths({k: v for k, v in plain.items() if k != "hydra"}):
        value = _lookup(plain, path)
        if value == "???":
            raise ConfigError(f"{path} has no default: give {path}=…")
        if _is_interpolation(value):
            try:
                OmegaConf.select(cfg, path)
            except InterpolationKeyError as error:
                raise ConfigError(f"{path}={value}: {_line(error).partition(' full_key')[0]}") from error
            except InterpolationResolutionError:
                continue  # something that only exists during a run, such as Hydra's output folder


def _lookup(plain: Any, key: str) -> Any:
    """The value at a dotted key of nested dicts and lists; what an interpolation holds is not known.

    Raises:
        KeyError: There is none.
    """
    for part in key.replace("[", ".").replace("]", "").split("."):
        if _is_interpolation(plain):
            return None
        if isinstance(plain, list) and part.isdigit() and int(part) < len(plain):
            plain = plain[int(part)]
        elif isinstance(plain, dict) and part in plain:
            plain = plain[part]
        else:
            raise KeyError(key)
    return plain


def _paths(plain: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all leaves."""
    items = plain.items() if isinstance(plain, dict) else enumerate(plain)
    for name, value in items:
        if isinstance(value, (dict, list)) and value:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _expected(default: Any, value: Any) -> str | None:
    """What should have been given instead of ``value``; None if it will do."""
    if default is None or default == "???" or value is None:
        return None
    if _is_interpolation(default) or _is_interpolation(value):
        return None
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, (int, float)):
        return None if _is_number(value) else "a number"
    if isinstance(default, list):
        numeric = all(_is_number(item) for item in default)
        return None if isinstance(value, list) or (numeric and _is_number(value)) else "a list such as [1,2]"
    if isinstance(default, dict):
        return None if isinstance(value, dict) else "settings of its own: set a key inside it"
    return "a word" if isinstance(value, dict) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_interpolation(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _unquote(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _did_you_mean(near: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(near[:3])}?" if near else ""


def _line(error: BaseException | None) -> str:
    return " ".join(str(error).split())

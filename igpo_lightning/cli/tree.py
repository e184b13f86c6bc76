"""The configuration tree: its groups, what overrides make of it, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igpo_lightning.checks import check_config
from igpo_lightning.cli.hydra_private import (
    Hydra,
    IntervalSweep,
    Override,
    OverridesParser,
    OverrideType,
    create_config_search_path,
)
from igpo_lightning.cli.interpolations import check_complete
from igpo_lightning.cli.plain import lookup, one_line
from igpo_lightning.cli.targets import check_targets
from igpo_lightning.cli.unknown import added_keys, close, did_you_mean, misspelt, unknown_key
from igpo_lightning.cli.values import check_paths, expected
from igpo_lightning.errors import ConfigError
from igpo_lightning.sweeping.plugins import how_to_install

MAX_CHOICES = 64  # of one swept key
EXPERIMENT = "experiment"  # the group whose options may change anything


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
        """Read one override.

        Raises:
            HydraException: In Hydra's words; :func:`igpo_lightning.cli.line.read` has better ones.
        """
        return self._parser.parse_overrides([text])[0]

    def try_parse(self, text: str) -> Override | None:
        """Read one override; None if Hydra can't."""
        try:
            return self.parse(text)
        except HydraException:
            return None

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
        """Names of a group's options; none if there is no such group."""
        options = self._loader.get_group_options(group, ObjectType.CONFIG)
        return sorted(option for option in options if not option.startswith("_"))

    def own_groups(self, plain: dict[str, Any]) -> dict[str, list[str]]:
        """The groups that this program uses, with their options."""
        chosen = plain["hydra"]["runtime"]["choices"]
        return {group: self.options(group) for group in self.groups() if group in chosen or group in plain}

    def base(self, texts: Sequence[str]) -> DictConfig:
        """The config that a choice of groups alone gives."""
        key = tuple(texts)
        if key not in self._bases:
            self._bases[key] = self._compose(texts)
        return self._bases[key]

    def base_of(self, texts: Sequence[str]) -> DictConfig:
        """The config that the groups in a line give, as far as they can be read and are there."""
        parsed = [self.try_parse(text) for text in texts]
        try:
            return self.base([str(o.input_line) for o in parsed if o is not None and self._is_choice(o)])
        except ConfigError:
            return self.base(())

    def check(self, texts: Sequence[str]) -> DictConfig:
        """Compose overrides that hold no sweep; refuse wrong names, types and meanings."""
        parsed = [self.parse(text) for text in texts]
        if any(o.key_or_group == "hydra.searchpath" for o in parsed):
            parsed = []  # names may come from folders that only Hydra's own composition sees
        choose = [o for o in parsed if self.options(o.key_or_group)]
        # A group that is left out may come back as a node: ~reward '+reward={_target_: my.Reward}'.
        made = {o.key_or_group for o in choose if o.type is OverrideType.ADD and isinstance(o.value(), dict)}
        left_out = {o.key_or_group for o in choose if o.type is OverrideType.DEL}
        for override in choose:
            if override.key_or_group not in made & left_out:
                self._check_option(override)
        base = self.base([str(o.input_line) for o in choose])
        plain = OmegaConf.to_container(base)
        for override in parsed:
            if override not in choose and override.type in (OverrideType.CHANGE, OverrideType.DEL):
                self._check_value(override, plain)
        cfg = self._compose(texts)
        check_paths({k: v for k, v in OmegaConf.to_container(cfg).items() if k != "hydra"})
        check_complete(cfg)
        before = self._check_experiment(parsed, cfg) or base
        check_config(cfg)
        check_targets(cfg, before)
        return cfg

    def _check_experiment(self, parsed: Sequence[Override], cfg: DictConfig) -> DictConfig | None:
        """Check the keys of the file in ``experiment/`` against the config without it, and return that."""
        plain = OmegaConf.to_container(cfg)
        choices: dict[str, Any] = plain["hydra"]["runtime"]["choices"]
        name = choices.get(EXPERIMENT)
        if name is None:
            return None
        typed = {o.key_or_group: str(o.input_line) for o in parsed if self._is_choice(o)}
        same = {group: f"{group}={choices[group]}" for group in self.own_groups(plain) if choices.get(group)}
        texts = [text for group, text in (same | typed).items() if group != EXPERIMENT]
        try:
            without = self.base(texts)
        except ConfigError:
            return None  # it needs the experiment to be complete
        before = OmegaConf.to_container(without)
        if said := misspelt(added_keys(plain, before), plain, before):
            raise ConfigError(f"{EXPERIMENT}/{name}.yaml: {said}")
        return without

    def _is_choice(self, override: Override) -> bool:
        chooses = isinstance(override.value(), (str, list)) or override.type is OverrideType.DEL
        return chooses and bool(self.options(override.key_or_group)) and not override.is_sweep_override()

    def _compose(self, texts: Sequence[str]) -> DictConfig:
        try:
            return compose(self.config_name, overrides=list(texts), return_hydra_config=True)
        except MissingConfigException as error:
            raise ConfigError(self._missing(error, texts)) from error
        except (HydraException, OmegaConfBaseException) as error:
            cause = f": {one_line(error.__cause__)}" if error.__cause__ else ""
            raise ConfigError(one_line(error) + cause) from error
        except yaml.YAMLError as error:
            raise ConfigError(_yaml(error)) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._undecodable()}: not UTF-8") from error

    def _missing(self, error: MissingConfigException, texts: Sequence[str]) -> str:
        """Message about a config that is not there."""
        if hint := how_to_install(error.missing_cfg_file):
            chosen = next((text for text in texts if text.startswith("sweep=")), "sweep")
            return f"{chosen}: {hint}"
        said = one_line(error).partition(" Available options in")[0].partition(" Config search path")[0]
        name = str(error.missing_cfg_file or "").rpartition("/")[2]
        near = did_you_mean(close(name, error.options or ()))
        return said + (near or (f"; there are: {', '.join(error.options)}" if error.options else ""))

    def _undecodable(self) -> str:
        """The configuration file that is not UTF-8."""
        places = [place.path or "" for place in self._loader.get_search_path().get_path()]
        folders = [folder for place in places if (folder := Path(place.removeprefix("file://"))).is_dir()]
        for path in (path for folder in folders for path in sorted(folder.rglob("*.yaml"))):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                return str(path)
        return "a configuration file"

    def _check_option(self, override: Override) -> None:
        group, value = override.key_or_group, override.value()
        plain = OmegaConf.to_container(self.base(()))
        foreign = "/" not in group and group not in self.own_groups(plain)
        if foreign and override.type is OverrideType.CHANGE:
            raise ConfigError(self._unknown(group, plain))
        choices = plain["hydra"]["runtime"]["choices"]
        if override.type is OverrideType.ADD and group in choices:
            raise ConfigError(f"{override.input_line}: {group} is there already; leave out the +")
        needed = choices.get(group) is not None
        if value is None and (needed or override.type is not OverrideType.DEL):
            advice = "choose one" if needed else "leave it out"
            raise ConfigError(f"{override.input_line}: {advice}; {self._options_text(group)}")
        for option in map(str, value if isinstance(value, list) else [] if value is None else [value]):
            folder, _, leaf = f"{group}/{option}".removesuffix(".yaml").rpartition("/")
            if leaf not in self.options(folder):
                if hint := how_to_install(f"{folder}/{leaf}"):
                    raise ConfigError(f"{override.input_line}: {hint}")
                near = did_you_mean(close(option.lower(), self.options(group)))
                if re.search("[./]", option) and self._has_path(group, plain):
                    near = f"; a file, a folder or a hub id is given as {group}.path={option}"
                raise ConfigError(f"{override.input_line}: no such option{near}; {self._options_text(group)}")

    def _has_path(self, group: str, plain: dict[str, Any]) -> bool:
        """Whether the group, or another option of it, has a key ``path``."""
        return "path" in (plain.get(group) or ()) or bool(self._elsewhere(f"{group}.path", plain))

    def _options_text(self, group: str) -> str:
        return f"{group} is one of: {', '.join(self.options(group))}"

    def _check_value(self, override: Override, plain: dict[str, Any]) -> None:
        key = override.key_or_group
        try:
            default = lookup(plain, key)
        except KeyError:
            raise ConfigError(self._unknown(key, plain)) from None
        if override.type is OverrideType.CHANGE and (wanted := expected(default, override.value(), key)):
            shown = "" if isinstance(default, dict) else f" (the default is {default})"
            raise ConfigError(f"{override.input_line}: expected {wanted}{shown}")

    def _unknown(self, key: str, plain: dict[str, Any]) -> str:
        if elsewhere := self._elsewhere(key, plain):
            return f"unknown key '{key}'{elsewhere}"
        return unknown_key(key, plain, self.own_groups(plain))

    def _elsewhere(self, key: str, plain: dict[str, Any]) -> str:
        """For a key that another option of its group has: which."""
        group = key.partition(".")[0]
        chosen = plain["hydra"]["runtime"]["choices"].get(group)
        having = []
        for option in self.options(group) if chosen and "." in key else ():
            try:
                lookup(OmegaConf.to_container(self.base([f"{group}={option}"])), key)
                having.append(f"{group}={option}")
            except (KeyError, ConfigError):
                continue
        return f" with {group}={chosen}; it exists with {', '.join(having)}" if having else ""


def _yaml(error: yaml.YAMLError) -> str:
    """File, line and trouble of a configuration file that is no YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{mark.name}:{mark.line + 1}: " if mark else ""
    problem = getattr(error, "problem", None) or one_line(error)
    return f"{place}not YAML: {one_line(problem)}"

"""The configuration tree: its groups, what overrides make of it, and what is wrong with one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from igpo_lightning.checks import check_config
from igpo_lightning.cli.composed import Composed, expand_home
from igpo_lightning.cli.names import close, did_you_mean, is_within, other_program, unknown_key, unread
from igpo_lightning.cli.options import OptionFiles
from igpo_lightning.cli.plain import lookup, one_line
from igpo_lightning.cli.targets import check_targets
from igpo_lightning.cli.values import expected
from igpo_lightning.errors import ConfigError
from igpo_lightning.sweeping.plugins import how_to_install

EXPERIMENT = "experiment"  # the group whose options may change anything
_GLOBAL = (EXPERIMENT, "sweep")
_SEARCH_PATH = "hydra.searchpath"
_FAULTS = (HydraException, OmegaConfBaseException, ValueError, yaml.YAMLError)  # of a line, or of a file


class OwnFolder(SearchPathPlugin):
    """``--config-dir``, a folder that is searched before ``conf/``: by Hydra's run and the checks alike."""

    folder: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if OwnFolder.folder is not None:
            search_path.prepend("command-line", f"file://{OwnFolder.folder.resolve()}")


Plugins.instance().register(OwnFolder)


@contextmanager
def open_tree(conf: Path, config_name: str) -> Iterator[ConfigTree]:
    """The tree in ``conf``; Hydra's global state is put back after."""
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            yield ConfigTree(config_name)
    except HydraException as error:
        raise ConfigError(one_line(error)) from error


class ConfigTree:
    """The configuration tree that Hydra is initialised with, and the checks of overrides against it."""

    def __init__(self, config_name: str) -> None:
        self.config_name = config_name
        loader = GlobalHydra.instance().config_loader()
        self._files = OptionFiles(loader.get_sources())
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], Composed] = {}

    def parse(self, text: str) -> Override:
        """Read one override.

        Raises:
            HydraException: In Hydra's words; :mod:`igpo_lightning.cli.line` has better ones.
        """
        return self._parser.parse_overrides([text])[0]

    def try_parse(self, text: str) -> Override | None:
        """Read one override; None if Hydra can't."""
        try:
            return self.parse(text)
        except HydraException:
            return None

    def values(self, text: str) -> list[str]:
        """The overrides a sweep stands for, or the override itself."""
        override = self.parse(text)
        if not override.is_sweep_override():
            return [text]
        value = override.value()
        if isinstance(value, IntervalSweep):
            values = [f"{value.start:g}", f"{value.end:g}"]
        else:
            values = list(override.sweep_string_iterator())
        if not values:
            raise ConfigError(f"{text}: matches no option; {self._options_text(override.key_or_group)}")
        return [f"{override.get_key_element()}={value}" for value in values]

    def options(self, group: str) -> list[str]:
        """Names of a group's options; none if there is no such group."""
        return self._files.names(group)

    def groups(self) -> dict[str, list[str]]:
        """The groups that this program uses, with their options."""
        base = self.compose(())
        # Of a group with several choices at once there is no word but the names in its node.
        several = {
            k for k, node in base.flat.items() if isinstance(node, dict) and {*node} <= {*self.options(k)}
        }
        names = [*base.choices, *(key for key in several if "." not in key)]
        return {
            name: options
            for name in sorted(set(names))
            if not name.startswith("hydra/") and (options := self.options(name))
        }

    def compose(self, texts: Sequence[str]) -> Composed:
        """Compose overrides that hold no sweep, as Hydra will.

        Raises:
            ConfigError: Naming the override or the file, and what would be right.
        """
        try:
            return self._compose(texts)
        except MissingConfigException as error:
            raise ConfigError(self._missing(error, texts)) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{self._files.undecodable(error)}: not UTF-8") from error
        except yaml.YAMLError as error:
            raise ConfigError(_yaml(error)) from error
        except _FAULTS as error:
            self._check_names(texts)
            if said := other_program(str(error), self.config_name):
                raise ConfigError(said) from error
            cause = f": {one_line(error.__cause__).partition(' full_key')[0]}" if error.__cause__ else ""
            raise ConfigError(one_line(error) + cause) from error

    def _compose(self, texts: Sequence[str]) -> Composed:
        if (key := tuple(texts)) not in self._composed:
            cfg = compose(self.config_name, overrides=list(texts), return_hydra_config=True)
            self._composed[key] = Composed(cfg)
        return self._composed[key]

    def base_of(self, texts: Sequence[str]) -> Composed:
        """The config that the groups in a line give, as far as they can be read and are there."""
        parsed = [self.try_parse(text) for text in texts]
        try:
            return self._compose([str(o.input_line) for o in parsed if o is not None and self.is_choice(o)])
        except _FAULTS:
            return self.compose(())

    def before(self, composed: Composed, texts: Sequence[str]) -> Composed:
        """The config that the chosen groups alone give, without the experiment and without typed values."""
        parsed = [override for override in map(self.parse, texts) if self.is_choice(override, composed)]
        chosen = {override.key_or_group: str(override.input_line) for override in parsed}
        if composed.choices.get(EXPERIMENT):  # it may have chosen in other groups
            own = composed.choices.items()
            known = {g: f"{g}={name}" for g, name in own if name and not g.startswith("hydra/")}
            chosen = known | chosen
            del chosen[EXPERIMENT]
        try:
            return self.compose(list(chosen.values()))
        except ConfigError:
            return self.base_of(texts)  # it needs the experiment to be complete

    def check(self, composed: Composed, before: Composed, texts: Sequence[str]) -> None:
        """Refuse what is wrong with a config that Hydra could compose.

        Args:
            before: As of :meth:`before`.
            texts: The overrides that ``composed`` was made with.
        """
        for override in map(self.parse, texts):
            if not self.is_choice(override, composed):
                self._check_type(override, before)
            elif override.is_delete():
                self._check_left_out(override, composed)
        self._check_global(composed, before)
        composed.check_complete()
        expand_home(composed.cfg)
        check_config(composed.cfg)
        if key := unread(composed.flat, before.flat):
            typed = any(is_within(key, o.key_or_group) for o in map(self.parse, texts))
            file = "" if typed else f"{EXPERIMENT}/{composed.choices.get(EXPERIMENT)}.yaml: "
            raise ConfigError(file + unknown_key(key, before.flat))
        check_targets(composed, before)

    def check_option(self, text: str, group: str, option: str) -> None:
        """Refuse ``text``, the setting of a key that names an option of a group, if there is none."""
        if not self._files.has(f"{group}/{option}"):
            raise ConfigError(self._no_option(text, group, option))

    def is_choice(self, override: Override, composed: Composed | None = None) -> bool:
        """True if an override chooses an option, and sets no value."""
        key, value = override.key_or_group, override.value()
        if key == _SEARCH_PATH:
            return True  # says where options are
        if "." in key or not (isinstance(value, (str, list)) or override.is_delete()):
            return False
        return (composed is not None and key in composed.choices) or bool(self.options(key))

    def _check_global(self, composed: Composed, before: Composed) -> None:
        """Refuse keys below a group whose options change the config as a whole: nothing reads them there."""
        for group in (group for group in _GLOBAL if {group} <= {*composed.choices} & {*composed.flat}):
            if chosen := composed.choices[group]:
                file, package = self._files.package(f"{group}/{chosen}")
                if package != "_global_":
                    raise ConfigError(
                        f"{file}: its keys would stand below {group}, where nothing reads them; "
                        "its first line has to be: # @package _global_"
                    )
            key = next(key for key in composed.flat if key.startswith(f"{group}."))
            raise ConfigError(unknown_key(key, before.flat))

    def _check_left_out(self, override: Override, composed: Composed) -> None:
        """A group that is left out may come back as a node: ``~reward '+reward={_target_: my.Reward}'``."""
        group = override.key_or_group
        if group != EXPERIMENT and OmegaConf.select(composed.cfg, group.replace("/", ".")) is None:
            raise ConfigError(f"{override.input_line}: choose one; {self._options_text(group)}")

    def _check_names(self, texts: Sequence[str]) -> None:
        """Name what made Hydra refuse to compose: a group, a key, or a value of another type."""
        base = self.base_of(texts)
        for override in map(self.parse, texts):
            key, group = override.key_or_group, self.options(override.key_or_group)
            if group and override.type is OverrideType.ADD and key in base.choices:
                raise ConfigError(f"{override.input_line}: {key} is there already; leave out the +")
            if group and override.value() is None and not override.is_delete():
                said = "leave it out, or choose one"
                raise ConfigError(f"{override.input_line}: {said}; {self._options_text(key)}")
            if override.is_add() or override.is_force_add():
                continue
            if not (group and (key in base.choices or key in base.flat)):
                self._check_name(key, base)
                self._check_type(override, base)

    def _check_type(self, override: Override, base: Composed) -> None:
        default, key = base.default(override.key_or_group), override.key_or_group
        if override.type is OverrideType.CHANGE and (wanted := expected(default, override.value(), key)):
            group = key.replace(".", "/")
            if isinstance(default, dict) and self.options(group):  # sampler.order=random
                raise ConfigError(f"{override.input_line}: set with {group}=…; {self._options_text(group)}")
            shown = "" if isinstance(default, dict) else f" (the default is {default})"
            raise ConfigError(f"{override.input_line}: expected {wanted}{shown}")

    def _check_name(self, key: str, base: Composed) -> None:
        flat = base.all if key.startswith("hydra.") else base.flat
        try:
            lookup(flat, key)
        except KeyError:
            groups = [name for name in base.choices if not name.startswith("hydra/")]
            said = self._elsewhere(key, base) or unknown_key(key, flat, groups, self.options)
            raise ConfigError(said) from None

    def _elsewhere(self, key: str, base: Composed) -> str | None:
        """Message about a key that other options of its group have."""
        group, _, inner = key.partition(".")
        if not inner or group not in base.choices:
            return None
        here = f"{group}/{base.choices[group]}"
        having = [path for path in self._files.having(inner, group) if path != here]
        if not having:
            return None
        said = ", ".join(path.replace("/", "=") for path in having)
        return f"unknown key '{key}' with {group}={base.choices[group]}; it exists with {said}"

    def _missing(self, error: MissingConfigException, texts: Sequence[str]) -> str:
        """Message about a config that is not there."""
        path = str(error.missing_cfg_file or "")
        if hint := how_to_install(path):
            chosen = (text for text in texts if text.startswith(("sweep=", path.rpartition("/")[0] + "=")))
            return f"{next(chosen, 'sweep')}: {hint}"
        for override in map(self.parse, texts):
            group = override.key_or_group
            if path.startswith(f"{group}/") and self.options(group):
                return self._no_option(str(override.input_line), group, path.removeprefix(f"{group}/"))
        said = one_line(error).partition(" Available options in")[0].partition(" Config search path")[0]
        near = did_you_mean(close(path.rpartition("/")[2], error.options or ()))
        return said + (near or (f"; there are: {', '.join(error.options)}" if error.options else ""))

    def _no_option(self, text: str, group: str, option: str) -> str:
        near = did_you_mean(close(option.lower(), self.options(group)))
        if re.search("[./]", option) and self._files.having("path", group):
            near = f"; a file, a folder or a hub id is given as {group}.path={option}"
        return f"{text}: no such option{near}; {self._options_text(group)}"

    def _options_text(self, group: str) -> str:
        return f"{group} is one of: {', '.join(self.options(group))}"


def _yaml(error: yaml.YAMLError) -> str:
    """File, line and trouble of a configuration file that is no YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"{mark.name}:{mark.line + 1}: " if mark else ""
    return f"{place}not YAML: {one_line(getattr(error, 'problem', None) or one_line(error))}"

"""The files of a configuration tree's groups, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from igpo_lightning.cli.plain import flatten


class OptionFiles:
    """The files of the options, in the folders that are searched for them."""

    def __init__(self, sources: list[ConfigSource]) -> None:
        self._sources = sources

    def names(self, group: str) -> list[str]:
        """Names of a group's options; none if there is no such group."""
        sources = [source for source in self._sources if source.is_group(group)]
        found = {option for source in sources for option in source.list(group, ObjectType.CONFIG)}
        return sorted(option for option in found if not option.startswith("_"))

    def has(self, path: str) -> bool:
        """True if there is such an option: ``"algo/sft"``."""
        return any(source.is_config(path) for source in self._sources)

    def merged(self, path: str) -> Any:
        """An option as its file has it, with those of its group that it is built on."""
        config: Any = self._load(path).config
        bases = [base for base in config.pop("defaults", []) if isinstance(base, str) and base != "_self_"]
        folder = path.rpartition("/")[0]
        return OmegaConf.merge(*(self.merged(f"{folder}/{base}") for base in bases), config)

    def having(self, key: str, group: str) -> list[str]:
        """The options of a group that have a key, as paths."""
        paths = (f"{group}/{option}" for option in self.names(group))
        return [path for path in paths if key in flatten(OmegaConf.to_container(self.merged(path)))]

    def package(self, path: str) -> tuple[str, str | None]:
        """An option's file, and where that says that its keys belong."""
        loaded = self._load(path)
        return f"{loaded.path.removeprefix('file://')}/{path}.yaml", loaded.header.get("package")

    def undecodable(self, error: UnicodeDecodeError) -> str:
        """The configuration file that is not UTF-8."""
        folders = [Path(source.path) for source in self._sources if source.scheme() == "file"]
        paths = (path for folder in folders for path in sorted(folder.rglob("*.yaml")))
        return str(
            next((path for path in paths if error.object in path.read_bytes()), "a configuration file")
        )

    def _load(self, path: str) -> ConfigResult:
        return next(source for source in self._sources if source.is_config(path)).load_config(path)

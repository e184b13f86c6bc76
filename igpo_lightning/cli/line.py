"""The command line as a whole: read, composed and checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from igpo_lightning.cli import quoting
from igpo_lightning.cli.hydra_private import Override
from igpo_lightning.cli.plain import lookup, one_line
from igpo_lightning.cli.tree import ConfigTree, open_tree
from igpo_lightning.cli.unknown import close, did_you_mean
from igpo_lightning.cli.values import as_names, expected, refuse_empty, takes_any
from igpo_lightning.errors import ConfigError
from igpo_lightning.paths import writable_folder

MAX_VARIANTS = 32  # of a sweep; they bound the whole check to about two seconds


@dataclass(frozen=True)
class Line:
    """A command line that has been found right.

    Attributes:
        cfg: The config of the first job, with its ``hydra`` node.
        overrides: As typed, but for names and paths that had to be put in Hydra's quotes.
        first: The overrides of the first job.
        swept: The keys of a sweep with the number of their values; None for an interval.
    """

    cfg: DictConfig
    overrides: list[str]
    first: list[str]
    swept: dict[str, int | None]


def check_line(tree: ConfigTree, overrides: Sequence[str], *, multirun: bool = False) -> Line:
    """Compose what the overrides ask for, as Hydra will, and check it; of a sweep, every value of every key.

    Args:
        overrides: As typed; sweeps (``a=1,2``) are allowed with ``multirun`` or ``hydra.mode=MULTIRUN``.

    Raises:
        ConfigError: Naming the override and what would be right.
    """
    texts = [read(tree, text, overrides, multirun) for text in overrides]
    choices = [tree.choices(text) for text in texts]
    first = [values[0] for values in choices]
    if not multirun and not _asks_for_sweep(tree, texts):
        for text, values in zip(texts, choices, strict=True):
            if len(values) > 1:
                raise ConfigError(_several(tree, text, overrides))
    cfg = tree.check(first)
    _check_first_stage(tree, cfg)
    sweeping = multirun or cfg.hydra.mode == RunMode.MULTIRUN
    _check_folder(cfg, sweeping)
    if sweeping:
        typed = {tree.parse(text).key_or_group for text in first}
        params = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
        more = [tree.choices(f"{key}={params[key]}") for key in params if key not in typed]
        start = 0 if more else 1  # the first has been checked, unless the config sweeps, too
        for variant in islice(_one_at_a_time(choices + more), start, MAX_VARIANTS):
            tree.check(variant)
    return Line(cfg, texts, first, _swept(tree, texts, cfg))


def check_command_line(
    conf: Path,
    config_name: str,
    overrides: Sequence[str],
    *,
    multirun: bool = False,
    extra: Path | None = None,
) -> Line:
    """:func:`check_line` for the tree in the folder ``conf``, where ``extra`` is searched first."""
    with open_tree(conf, config_name, extra) as tree:
        return check_line(tree, overrides, multirun=multirun)


def read(tree: ConfigTree, text: str, line: Sequence[str], multirun: bool = False) -> str:
    """One override in a form that Hydra takes as it was meant.

    Args:
        line: All overrides: the groups among them say what the others mean.

    Raises:
        ConfigError: Hydra can't read it; the message shows it as it should be typed.
    """
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        raise ConfigError(_no_value(tree, text))
    try:
        override = tree.parse(text)
    except HydraException as error:
        raise ConfigError(_unreadable(tree, text, line, multirun, error)) from error
    refuse_empty(override)
    if not override.is_sweep_override() and not all(
        map(quoting.reads_as_interpolation, quoting.texts(override.value()))
    ):
        if quoting.unclosed(value) == "${":
            raise ConfigError(f"{text}: the ${{ at its start is not closed")
        right = quoting.in_shell(key, _unquoted(override), tree.try_parse, like="")
        raise ConfigError(f"{text}: ${{ begins an interpolation; as text it is typed {right}")
    return as_names(override, _default(tree, override.key_or_group, line)) if equals else text


def _unquoted(override: Override) -> str:
    value = override.value()
    return value if isinstance(value, str) else override.get_value_string()


def _unreadable(tree: ConfigTree, text: str, line: Sequence[str], multirun: bool, error: Exception) -> str:
    key, _, value = text.partition("=")
    default = _default(tree, key.lstrip("+~"), line)
    sign = quoting.unclosed(value)
    if sign is not None and (not isinstance(default, str) or sign in "'\""):
        return f"{text}: the {sign} at its start is not closed"
    if "${" not in value:
        wanted = None if isinstance(default, (list, dict)) else expected(default, "", key)
        if wanted:
            return f"{text}: expected {wanted} (the default is {default})"
        if isinstance(default, list) and default and all(isinstance(item, (int, float)) for item in default):
            return f"{text}: expected a list such as [{','.join(map(str, default))}]"
    right = quoting.in_shell(key, value, tree.try_parse, like=default, sweep=multirun)
    if right is None:
        return f"{text}: {one_line(error).partition(' See https')[0]}"
    return f"{text}: this needs quotes for Hydra and for the shell: {right}"


def _asks_for_sweep(tree: ConfigTree, texts: Sequence[str]) -> bool:
    """Whether the line means a sweep without ``-m``: by sweep=joblib, or by Hydra's mode."""
    mode = tree.base_of(texts).hydra.mode
    return mode == RunMode.MULTIRUN or any("hydra.mode=MULTIRUN" in text for text in texts)


def _several(tree: ConfigTree, text: str, line: Sequence[str]) -> str:
    """Message about a sweep without ``-m``."""
    key, _, value = text.partition("=")
    default = _default(tree, key.lstrip("+"), line)
    said = f"{text}: several values are a sweep: add -m"
    several = bool(tree.options(key)) and key not in tree.base(()).hydra.runtime.choices
    if (
        isinstance(default, list) or takes_any(key) or several
    ):  # a group of which several options can be chosen at once
        return f"{said}, or give a list: {key}=[{value}]"
    if tree.options(key) or isinstance(default, (bool, int, float)):
        return said
    return f"{said}; as one text it is typed {quoting.in_shell(key, value, tree.try_parse, like='')}"


def _no_value(tree: ConfigTree, text: str) -> str:
    """Message about a word without ``=``."""
    groups = tree.own_groups(OmegaConf.to_container(tree.base(())))
    for group, options in groups.items():
        if text in options:
            return f"{text}: expected key=value; did you mean {group}={text}?"
    key, colon, value = text.partition(":")
    if colon:
        return f"{text}: expected key=value; did you mean {key}={value}?"
    if text in groups:
        return f"{text}: expected {text}=…, one of {', '.join(groups[text])}"
    near = did_you_mean([f"{name}=…" for name in close(text, [*map(str, tree.base(())), *groups])])
    return f"{text}: expected key=value, without spaces around the ={near}; --help lists the keys"


def _default(tree: ConfigTree, key: str, line: Sequence[str]) -> Any:
    """The value that a key has without being set; None if there is no such key."""
    try:
        return lookup(OmegaConf.to_container(tree.base_of(line)), key)
    except KeyError:
        return None


def _check_first_stage(tree: ConfigTree, cfg: DictConfig) -> None:
    """Check ``warm_start``, the overrides of a stage that runs before the one that was asked for."""
    stage, texts = OmegaConf.select(cfg, "algo.warm_start"), cfg.get("warm_start")
    if not stage or not texts or OmegaConf.select(cfg, "model.path") is not None:
        return
    line = [f"algo={stage}", *map(str, texts)]
    try:
        tree.check([read(tree, text, line) for text in line])
    except ConfigError as error:
        raise ConfigError(f"warm_start: {error}") from error


def _check_folder(cfg: DictConfig, sweeping: bool) -> None:
    """Hydra makes the folder of a run or of a sweep before anything of ours runs."""
    from igpo_lightning.cli.interpolations import as_in_a_job

    key = "hydra.sweep.dir" if sweeping else "hydra.run.dir"
    with as_in_a_job(cfg):
        folder = OmegaConf.select(cfg, key)
    if folder != ".":
        writable_folder("sweep_dir" if sweeping and "sweep_dir" in cfg else key, folder)


def _swept(tree: ConfigTree, texts: Sequence[str], cfg: DictConfig) -> dict[str, int | None]:
    params = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    parsed = {key: tree.parse(f"{key}={value}") for key, value in params.items()}
    parsed |= {override.key_or_group: override for override in map(tree.parse, texts)}
    return {
        key: None if override.is_interval_sweep() else len(tree.choices(str(override.input_line)))
        for key, override in parsed.items()
        if override.is_sweep_override()
    }


def _one_at_a_time(choices: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The first choice of everything, then every other choice with the rest at the first."""
    first = [texts[0] for texts in choices]
    yield first
    for i, texts in enumerate(choices):
        for text in texts[1:]:
            yield [*first[:i], text, *first[i + 1 :]]

"""The command line as a whole: read, composed and checked before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from igpo_lightning.cli import quoting
from igpo_lightning.cli.composed import Composed
from igpo_lightning.cli.names import close, did_you_mean, refuse_renamed
from igpo_lightning.cli.plain import one_line
from igpo_lightning.cli.tree import ConfigTree, open_tree
from igpo_lightning.cli.values import expected, is_name, is_numeric, is_path, takes_any
from igpo_lightning.errors import ConfigError
from igpo_lightning.paths import writable_folder

MAX_VARIANTS = 32  # of a sweep


@dataclass(frozen=True)
class Line:
    """A command line that has been found right.

    Attributes:
        cfg: The config of the first job, with its ``hydra`` node.
        overrides: As typed, but for names and paths that had to be put in Hydra's quotes.
        first: The overrides of the first job.
        choices: For each override, and each of ``hydra.sweeper.params``, those of one job that it stands for.
        swept: The keys of a sweep with the number of their values; None for an interval.
    """

    cfg: DictConfig
    overrides: list[str]
    first: list[str]
    choices: list[list[str]]
    swept: dict[str, int | None]


def check_command_line(
    conf: Path, config_name: str, overrides: Sequence[str], *, multirun: bool = False
) -> Line:
    """Compose what the overrides ask for, as Hydra will, and check it; of a sweep, every value of every key.

    Args:
        conf: The folder of the configuration tree.
        overrides: As typed; sweeps (``a=1,2``) are allowed with ``multirun`` or ``hydra.mode=MULTIRUN``.

    Raises:
        ConfigError: Naming the override and what would be right.
    """
    with open_tree(conf, config_name) as tree:
        return _check_line(tree, overrides, multirun)


def _check_line(tree: ConfigTree, overrides: Sequence[str], multirun: bool) -> Line:
    for text in overrides:
        _check_readable(tree, text, overrides, multirun)
    first = [tree.values(text)[0] for text in overrides]
    composed = tree.compose(first)
    sweeping = multirun or composed.cfg.hydra.mode == RunMode.MULTIRUN
    for text in () if sweeping else overrides:
        if len(tree.values(text)) > 1:
            raise ConfigError(_several(tree, text, overrides))
    before = tree.before(composed, first)
    texts = [_as_names(tree, text, before) for text in overrides]
    typed = {tree.parse(text).key_or_group for text in texts}
    params = (OmegaConf.select(composed.cfg, "hydra.sweeper.params") or {}) if sweeping else {}
    swept = [*texts, *(f"{key}={value}" for key, value in params.items() if key not in typed)]
    choices = [tree.values(text) for text in swept]
    variants = _one_at_a_time(choices)
    first_job = next(variants)
    job = _check_job(tree, first_job, first, composed, before)
    _check_folder(job, sweeping)
    more = islice(variants, MAX_VARIANTS - 1 if sweeping else 0)
    jobs = [job, *(_check_job(tree, variant, first, composed, before) for variant in more)]
    for stage, settings in dict.fromkeys(_first_stage(job.cfg) for job in jobs):
        _check_first_stage(tree, stage, settings)
    counts = {
        override.key_or_group: None if override.is_interval_sweep() else len({*values})
        for values, override in zip(choices, map(tree.parse, swept), strict=True)
        if override.is_sweep_override()
    }
    return Line(job.cfg, texts, first_job, choices, counts)


def _check_job(
    tree: ConfigTree, texts: Sequence[str], first: Sequence[str], composed: Composed, before: Composed
) -> Composed:
    """Check the job with the overrides ``texts``; ``composed`` is what ``first`` gives.

    Another choice in a group is composed; other values are only put in place, which is ten times as fast.
    """
    changed = [tree.parse(text) for text in texts if text not in first]
    if any(tree.is_choice(o, composed) or isinstance(o.value(), dict) for o in changed):
        composed = tree.compose(texts)
        before = tree.before(composed, texts)
    elif changed:
        composed = composed.changed(changed)
    tree.check(composed, before, texts)
    return composed


def _check_readable(tree: ConfigTree, text: str, line: Sequence[str], multirun: bool) -> None:
    """Refuse what Hydra can't read, or would read as something else; the message shows what to type.

    Args:
        line: All overrides: the groups among them say what the others mean.
    """
    key, equals, value = text.partition("=")
    refuse_renamed([key.lstrip("+~")])
    if not equals and not text.startswith("~"):
        raise ConfigError(_no_value(tree, text))
    try:
        override = tree.parse(text)
    except HydraException as error:
        raise ConfigError(_unreadable(tree, text, line, multirun, error)) from error
    if equals and not value.strip() and not override.is_delete():
        raise ConfigError(
            f"{text}: nothing stands after the = (is a variable of the script empty?); "
            f"{key}=null if nothing is meant"
        )
    if not override.is_sweep_override() and not quoting.readable(override.value()):
        if quoting.unclosed(value) == "${":
            raise ConfigError(f"{text}: the ${{ at its start is not closed")
        meant = found if isinstance(found := override.value(), str) else value
        right = quoting.in_shell(key, meant, tree.try_parse, like="")
        raise ConfigError(f"{text}: ${{ begins an interpolation; as text it is typed {right}")


def _as_names(tree: ConfigTree, text: str, before: Composed) -> str:
    override = tree.parse(text)
    key = override.key_or_group
    if override.is_delete() or not is_name(key, before.default(key)) or tree.is_choice(override, before):
        return text
    return quoting.as_names(text, tree.try_parse, is_path(key))


def _unreadable(tree: ConfigTree, text: str, line: Sequence[str], multirun: bool, error: Exception) -> str:
    key, _, value = text.partition("=")
    default = tree.base_of(line).default(key.lstrip("+~"))
    sign = quoting.unclosed(value)
    if sign is not None and (not isinstance(default, str) or sign in "'\""):
        return f"{text}: the {sign} at its start is not closed"
    if "${" not in value:
        wanted = None if isinstance(default, (list, dict)) else expected(default, "", key)
        if wanted:
            return f"{text}: expected {wanted} (the default is {default})"
        if is_numeric(default):
            return f"{text}: expected a list such as [{','.join(map(str, default))}]"
    right = quoting.in_shell(key, value, tree.try_parse, like=default, sweep=multirun)
    if right is None:
        return f"{text}: {one_line(error).partition(' See https')[0]}"
    return f"{text}: this needs quotes for Hydra and for the shell: {right}"


def _several(tree: ConfigTree, text: str, line: Sequence[str]) -> str:
    """Message about a sweep without ``-m``."""
    key, _, value = text.partition("=")
    base, options = tree.base_of(line), tree.options(key)
    default = base.default(key.lstrip("+"))
    said = f"{text}: several values are a sweep: add -m"
    several_options = options and key not in base.choices  # of such a group Hydra takes several at once
    if isinstance(default, list) or takes_any(key) or several_options:
        return f"{said}, or give a list: {key}=[{value}]"
    if options or isinstance(default, (bool, int, float)):
        return said
    return f"{said}; as one text it is typed {quoting.in_shell(key, value, tree.try_parse, like='')}"


def _no_value(tree: ConfigTree, text: str) -> str:
    """Message about a word without ``=``."""
    groups = tree.groups()
    for group, options in groups.items():
        if text in options:
            return f"{text}: expected key=value; did you mean {group}={text}?"
    key, colon, value = text.partition(":")
    if colon:
        return f"{text}: expected key=value; did you mean {key}={value}?"
    if text in groups:
        return f"{text}: expected {text}=…, one of {', '.join(groups[text])}"
    flat = tree.compose(()).flat
    if text in flat:
        return f"{text}: expected {text}=…"
    known = {key for key in flat if "." not in key} | set(groups)
    near = did_you_mean([f"{name}=…" for name in close(text, sorted(known))])
    return f"{text}: expected key=value, without spaces around the ={near}; --help lists the keys"


def _first_stage(cfg: DictConfig) -> tuple[str | None, tuple[str, ...]]:
    """The algorithm of the stage that trains a new model first, if any does, and what ``warm_start`` sets."""
    if OmegaConf.select(cfg, "model.path") is not None:
        return None, ()
    return OmegaConf.select(cfg, "algo.warm_start"), tuple(map(str, cfg.get("warm_start") or ()))


def _check_first_stage(tree: ConfigTree, stage: str | None, texts: Sequence[str]) -> None:
    """Check ``warm_start``, the overrides of a stage that runs before the one that was asked for."""
    if not stage:
        return
    tree.check_option(f"algo.warm_start={stage}", "algo", str(stage))
    if not texts:
        return  # nothing to compose, which takes longest
    line = [f"algo={stage}", *texts]
    try:
        for text in line:
            _check_readable(tree, text, line, multirun=False)
        for key, text in ((tree.parse(text).key_or_group, text) for text in texts):
            if not key.startswith(("algo.", "algo/")):
                whose = "algo.warm_start chooses it" if key == "algo" else f"{key} is the run's"
                raise ConfigError(f"{text}: only algo.* of the first stage can be set here; {whose}")
        composed = tree.compose(line)
        tree.check(composed, tree.before(composed, line), line)
    except ConfigError as error:
        raise ConfigError(f"warm_start: {error}") from error


def _check_folder(job: Composed, sweeping: bool) -> None:
    """Hydra makes the folder of a run or of a sweep before anything of ours runs."""
    key = "hydra.sweep.dir" if sweeping else "hydra.run.dir"
    with job.as_in_a_job():
        folder = OmegaConf.select(job.cfg, key)
    if folder != ".":
        writable_folder("sweep_dir" if sweeping and "sweep_dir" in job.cfg else key, folder)


def _one_at_a_time(choices: Sequence[Sequence[str]]) -> Iterator[list[str]]:
    """The first choice of everything, then every other choice with the rest at the first."""
    first = [texts[0] for texts in choices]
    yield first
    for i, texts in enumerate(choices):
        for text in texts[1:]:
            yield [*first[:i], text, *first[i + 1 :]]

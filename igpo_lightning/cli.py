"""Entry points: Hydra's command line with quick, one-line refusals.

``main = entry("train", "igpo_lightning.train:run")`` is a program whose ``--help`` and whose answer
to a wrong override take well under two seconds, because ``run`` is imported only after both.

Exit codes: 2 for bad input, 130 when interrupted, otherwise what the run gives.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.config import find_conf
from igpo_lightning.overrides import check_command_line, open_tree, swept_keys
from igpo_lightning.sweeping import Sweep, cause, register, run_job

register()  # here, because launchers import this module in every process that runs a job

# Shown by --help with their defaults, as far as the composed config has them.
USUAL_KEYS = (
    "seed", "output_dir", "model.path", "data.path", "benchmarks_dir", "rewriter.model", "rewriter.base_url",
    "tokenizer", "length", "limit", "attempts", "keep_fitting", "batch_size", "algo.group_size",
    "algo.inner_updates", "algo.inpaint.ratio", "algo.inpaint.replace", "algo.token_filter.fraction",
    "sampler.length", "sampler.block_length", "sampler.steps", "sampler.temperature", "hardware.devices",
)  # fmt: skip


def entry(config_name: str, run: str) -> Callable[[], None]:
    """A program around ``run``.

    Args:
        config_name: The main config, a file of ``conf/`` without its ending.
        run: ``"package.module:function"``, called with the composed ``DictConfig``. What it returns
            goes to Hydra's sweeper.

    Returns:
        A function without arguments that reads ``sys.argv``, for ``if __name__ == "__main__"`` and
        for console scripts.
    """

    def main() -> None:
        conf = find_conf()
        arguments = get_args_parser().parse_args()
        try:
            if arguments.help:
                print(help_text(conf, config_name))
                return
            start = hydra.main(version_base="1.3", config_path=str(conf), config_name=config_name)
            sweep = _check(conf, config_name, arguments)
            if sweep is None:
                start(Job(run))()
                return
            sys.argv += sweep.overrides
            raise SystemExit(sweep.run(start(Job(run, sweep.command))))
        except ConfigError as error:
            _refuse(error)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise SystemExit(130) from None
        except SystemExit as stop:
            if isinstance(stop.__context__, _RefusedJob):  # Hydra has printed it
                raise SystemExit(2) from None
            raise

    return main


class Job:
    """What Hydra calls once per job. An object, so that launchers can pickle it.

    Args:
        run: As of :func:`entry`.
        sweep: Name of the sweep command, if the job is of one.
    """

    def __init__(self, run: str, sweep: str | None = None) -> None:
        self.run, self.sweep = run, sweep
        self.__module__ = run.partition(":")[0]  # Hydra names the job after it

    def __call__(self, cfg: DictConfig) -> Any:
        try:
            return self._call(cfg) if self.sweep is None else run_job(self.run, self._call, cfg, self.sweep)
        except Exception as error:
            refused = cause(error)
            if refused is None or _full_errors():
                raise
            if HydraConfig.get().mode == RunMode.MULTIRUN:  # the other jobs of the sweep go on
                raise _RefusedJob(f"error: {refused}") from None
            _refuse(refused)

    def _call(self, cfg: DictConfig) -> Any:
        module, _, function = self.run.partition(":")
        return getattr(importlib.import_module(module), function)(cfg)


class _RefusedJob(CompactHydraException):
    """A ConfigError in one job of a sweep, in the form that Hydra prints without a traceback."""


def help_text(conf: Path, config_name: str) -> str:
    """Usage, groups with their options, the usual settings with their defaults."""
    with open_tree(conf, config_name) as tree:
        cfg = tree.base(())
        chosen = cfg.hydra.runtime.choices
        groups = {group: tree.options(group) for group in tree.groups() if group in chosen or group in cfg}
    width = max(map(len, groups), default=0)
    lines = [f"usage: {_program()} [group=option ...] [key=value ...]", *_description(conf, config_name), ""]
    lines.append("groups, * marks the default (group=option):")
    for group, options in groups.items():
        # Of a group with several choices at once, Hydra does not say which: each is a key of its node.
        default = [chosen[group]] if group in chosen else list(cfg[group])
        marked = ("*" + option if option in default else option for option in options)
        lines.append(f"  {group:{width}}  {'  '.join(marked)}")
    lines += ["", "usual settings with their defaults (key=value):", *_usual(cfg), ""]
    lines += [
        "flags:",
        "  -m             run all combinations of comma-separated values: -m seed=0,1 algo=grpo,igpo",
        "  --cfg job      print the configuration that the rest of the line gives, and stop",
        "  --hydra-help   all other flags",
    ]
    return "\n".join(lines)


def _check(conf: Path, config_name: str, arguments: Namespace) -> Sweep | None:
    """Check the command line, unless it asks Hydra for something other than this program's run.

    Returns:
        The sweep, if it is one of a program that has the group ``sweep``.
    """
    hydra_only = arguments.hydra_help or arguments.shell_completion or arguments.experimental_rerun
    if hydra_only or (arguments.config_path and not os.path.isabs(arguments.config_path)):
        return None
    tree = Path(arguments.config_path or conf), arguments.config_name or config_name, arguments.overrides
    extra = Path(arguments.config_dir) if arguments.config_dir else None
    cfg = check_command_line(*tree, multirun=arguments.multirun, extra=extra)
    is_sweep = arguments.multirun or cfg.hydra.mode == RunMode.MULTIRUN
    if not is_sweep or "sweep_dir" not in cfg or arguments.cfg or arguments.info:
        return None
    return Sweep.plan(cfg, arguments.overrides, swept_keys(*tree, cfg, extra=extra))


def _usual(cfg: DictConfig) -> Iterator[str]:
    plain = OmegaConf.to_container(cfg)
    for key in USUAL_KEYS:
        value: Any = plain
        for part in key.split("."):
            value = value.get(part, KeyError) if isinstance(value, dict) else KeyError
        if str(value).startswith("${oc.select:"):  # a default that the model may change
            value = OmegaConf.select(cfg, key)
        if value is not KeyError:
            shown = "null" if value is None else str(value).replace(" ", "")
            yield f"  {key}={shown}"


def _description(conf: Path, config_name: str) -> Iterator[str]:
    """The comment at the head of the main config."""
    for line in (conf / f"{config_name}.yaml").read_text().splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# @package"):
            yield line.lstrip("# ")


def _program() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name


def _full_errors() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def _refuse(error: ConfigError) -> NoReturn:
    if _full_errors():
        raise error
    print("error:", " ".join(str(error).split()), file=sys.stderr)
    raise SystemExit(2) from None

"""Entry points: ``main = entry("train", "igpo_lightning.training.run:run")`` is a program.

Its ``--help`` and its answer to a wrong override take well under two seconds, because the function that
does the work is imported only after both.

Exit codes: 2 for bad input, 130 when interrupted, 141 when nobody reads its output any more, otherwise
what the run gives.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from igpo_lightning import run_folder
from igpo_lightning.cli.arguments import read_arguments, version
from igpo_lightning.cli.composed import expand_home
from igpo_lightning.cli.help import help_text
from igpo_lightning.cli.line import check_command_line
from igpo_lightning.cli.names import close, did_you_mean
from igpo_lightning.cli.plain import flatten, one_line
from igpo_lightning.cli.terminal import BAD_INPUT, full_errors, guarded, refuse
from igpo_lightning.cli.tree import OwnFolder
from igpo_lightning.config import find_conf
from igpo_lightning.errors import ConfigError
from igpo_lightning.sweeping import DryRun, Sweep, cause, register, run_job

register()  # here, because launchers import this module in every process that runs a job


def entry(config_name: str, run: str) -> Callable[..., int | None]:
    """A program around ``run``.

    Args:
        config_name: The main config, a file of ``conf/`` without its ending.
        run: ``"package.module:function"``, called with the composed ``DictConfig``. What it returns
            goes to Hydra's sweeper.

    Returns:
        A function without arguments that reads ``sys.argv``, for ``if __name__ == "__main__"`` and
        for console scripts.
    """

    @guarded
    def main() -> None:
        conf = find_conf()
        _find_modules_in(os.getcwd())
        if "--version" in sys.argv[1:]:
            print(version())
            return
        arguments, flags = read_arguments(sys.argv[1:])
        sys.argv[1:] = [*flags, *arguments.overrides]
        OwnFolder.folder = Path(arguments.config_dir) if arguments.config_dir else None
        if arguments.help:
            print(help_text(conf, config_name, arguments.overrides))
            return
        start = hydra.main(version_base="1.3", config_path=str(conf), config_name=config_name)
        sweep = _check(conf, config_name, arguments, flags)
        try:
            if sweep is None:
                start(Job(run))()
                return
            if isinstance(sweep, DryRun):
                raise SystemExit(sweep.run(start(Job(run))))
            sys.argv += sweep.overrides
            raise SystemExit(sweep.run(start(Job(run, sweep.command))))
        except SystemExit as stop:
            if isinstance(stop.__context__, _RefusedJob):  # Hydra has printed it
                raise SystemExit(BAD_INPUT) from None
            raise

    return main


class Job:
    """Callable that Hydra calls once per job. An object, so that launchers can pickle it.

    Args:
        run: As of :func:`entry`.
        sweep: Name of the sweep command, if the job is of one.
    """

    def __init__(self, run: str, sweep: str | None = None) -> None:
        self.run, self.sweep = run, sweep
        self.__module__ = run.partition(":")[0]  # Hydra names the job after it

    def __call__(self, cfg: DictConfig) -> Any:
        _find_modules_in(HydraConfig.get().runtime.cwd)
        expand_home(cfg)
        try:
            return self._call(cfg) if self.sweep is None else run_job(self.run, self._call, cfg, self.sweep)
        except Exception as error:
            refused = cause(error) or _not_found(error)
            if refused is None or full_errors():
                raise
            if HydraConfig.get().mode == RunMode.MULTIRUN:  # the other jobs of the sweep go on
                raise _RefusedJob(f"error: {refused}") from None
            run_folder.discard()
            refuse(refused)

    def _call(self, cfg: DictConfig) -> Any:
        module, _, function = self.run.partition(":")
        return getattr(importlib.import_module(module), function)(cfg)


class _RefusedJob(CompactHydraException):
    """A ConfigError in one job of a sweep, in the form that Hydra prints without a traceback."""


def _check(conf: Path, config_name: str, arguments: Namespace, flags: list[str]) -> Sweep | DryRun | None:
    """Check the command line, unless it asks Hydra for something other than this program's run.

    ``sys.argv`` gets the overrides in the form in which Hydra takes them as they were meant.

    Returns:
        The sweep, if it is one of a program that has the group ``sweep``.
    """
    if arguments.hydra_help or arguments.shell_completion or arguments.experimental_rerun:
        return None
    if (arguments.config_path or "").startswith("pkg://"):
        return None
    folder, name = Path(arguments.config_path or conf), arguments.config_name or config_name
    line = check_command_line(folder, name, arguments.overrides, multirun=arguments.multirun)
    if arguments.package:
        _check_package(arguments.package, line.cfg)
    is_sweep = arguments.multirun or line.cfg.hydra.mode == RunMode.MULTIRUN
    of_a_job = [flag for flag in flags if flag not in ("-m", "--multirun")]
    if arguments.cfg and is_sweep:  # a sweep has no config; its first job has
        print(f"# the first job of the sweep: {' '.join(line.first)}", flush=True)
        sys.argv[1:] = [*of_a_job, *line.first]
        return None
    sys.argv[1:] = [*flags, *line.overrides]
    if arguments.cfg or arguments.info:
        return None
    if not is_sweep:
        sys.argv += run_folder.before_hydra(line.cfg, line.overrides)
    if not is_sweep or "sweep_dir" not in line.cfg:
        return None
    if "dry_run" in line.swept or line.cfg.get("dry_run"):
        DryRun.check(line.cfg, line.swept)
        return DryRun(of_a_job, line.choices, run_folder.before_hydra(line.cfg, line.overrides))
    sweep = Sweep.plan(line.cfg, line.overrides, line.swept)
    run_folder.try_writing("sweep_dir", sweep.folder)
    return sweep


def _check_package(package: str, cfg: DictConfig) -> None:
    if package != "_global_" and OmegaConf.select(cfg, package) is None:
        flat = flatten(OmegaConf.to_container(cfg))
        nodes = [key for key, value in flat.items() if isinstance(value, (dict, list))]
        raise ConfigError(f"--package {package}: no such node{did_you_mean(close(package, nodes))}")


def _not_found(error: Exception) -> ConfigError | None:
    """For a class that a config names and that can't be imported: which, and why."""
    if isinstance(error, InstantiationException) and str(error).startswith("Error locating target"):
        key = str(error).partition("full_key: ")[2]
        return ConfigError(f"{key}._target_: {one_line(error.__cause__)}")
    return None


def _find_modules_in(folder: str) -> None:
    """Make modules in ``folder`` importable, as ``python -m`` does and an installed script does not."""
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)

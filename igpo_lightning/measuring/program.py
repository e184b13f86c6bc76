"""The program: cases, contenders, rounds, sweeps, tables."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from ..checks import ConfigError, positive_int
from ..cli.line import check_command_line
from ..config import find_conf
from ..console import quieten
from ..files import write_atomic
from ..hardware import check_gpus, use_threads
from ..paths import writable_file
from ..precision import check_precision
from . import pictures
from .against import checkouts
from .cases import Compose, Point, cases_of, points_of
from .contenders import OURS, Contender
from .published import THEIRS
from .records import ratios_of, read_ratios, record_of, sizes_of, slower_than, write_ratios
from .rounds import PUBLISHED, Result, measure
from .tables import cases_table, describe, growth_table, notes, phases_table
from .workload import Workload, sharing, workload_of


def run(cfg: DictConfig) -> None:
    """Measure as ``cfg`` says; write tables, pictures and figures into ``cfg.output_dir``.

    Raises:
        ConfigError: Bad settings.
        SystemExit: With 1, if ``check`` finds something slower than it was.
    """
    typed = list(HydraConfig.get().overrides.task)
    lines = bench(cfg, lambda more: _composed([*typed, *more]))
    if lines:
        print("\nslower than recorded:", *lines, sep="\n  ")
        raise SystemExit(1)


def _composed(overrides: Sequence[str]) -> DictConfig:
    """The checked config of another command line, from within a job, where Hydra composes no second one."""
    hydra = GlobalHydra.instance()
    running, hydra.hydra = hydra.hydra, None
    try:
        return check_command_line(find_conf(), "bench", overrides).cfg
    finally:
        hydra.hydra = running


def bench(cfg: DictConfig, compose: Compose) -> list[str]:
    """Measure.

    Args:
        cfg: The composed config.
        compose: Further overrides → the config with these.

    Returns:
        Lines about what is slower than recorded, if ``cfg.check`` names a record.
    """
    _check(cfg)
    quieten()
    use_threads(cfg.hardware)
    base = workload_of(cfg)
    recorded, tolerance = read_ratios(cfg.check, sizes_of(base)) if cfg.check is not None else ({}, 0.0)
    points = _points(cfg, compose)
    results = measure(_contenders(cfg, base, compose, cfg.what), cfg.repeats, _say)
    grown = list(_growth(points, base, compose))
    record = record_of(cfg, base, results, grown)
    write(Path(cfg.output_dir), record, results, grown)
    if cfg.record is not None:
        write_ratios(cfg.record, record, results)
    return slower_than(recorded, tolerance, ratios_of(results))


def write(folder: Path, record: dict, results: Sequence[Result], grown: Sequence[Result]) -> None:
    """Print the tables; write them, the pictures and ``bench.json`` into ``folder``."""
    said = describe(record)
    parts = [said, cases_table(results), notes(results), phases_table(results)]
    parts += [growth_table(grown)] if grown else []
    text = "\n\n".join(filter(None, parts))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "bench.json", json.dumps(record, indent=2) + "\n")
    write_atomic(folder / "bench.md", text + "\n")
    pictures.bars(results, folder / "bench.png", said.splitlines()[0])
    if grown:
        pictures.curves(grown, folder / "growth.png")
    print(f"\n{text}\n\nin {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def _contenders(
    cfg: DictConfig, base: Workload, compose: Compose, what: Sequence[str], without: Collection[str] = ()
) -> list[Contender]:
    found = list[Contender]()
    for kind in what:
        if cfg.published:
            found.append(Contender(kind, PUBLISHED, [], base, THEIRS[kind]))
        for name, changes, load in cases_of(cfg, kind, base, compose, without):
            found.append(Contender(kind, name, changes, load, OURS[kind]))
        if kind == "sampling" and cfg.against is not None:
            options: Any = OmegaConf.to_container(cfg.options, resolve=True)
            found += checkouts(cfg.against, cfg.kind, options, base)
    if not found:
        raise ConfigError("cases: there is none to measure")
    return found


def _points(cfg: DictConfig, compose: Compose) -> list[tuple[Point, DictConfig]]:
    """The points of the sweep with the config at each, all of them known to work before any is measured."""
    found = []
    for point in points_of(cfg):
        try:
            found.append((point, compose(point.overrides)))
        except ConfigError as error:
            raise ConfigError(f"{point.name}: {error}") from error
    return found


def _growth(points: Sequence[tuple[Point, DictConfig]], base: Workload, compose: Compose) -> Iterator[Result]:
    for point, changed in points:
        _say(f"{point.key} {point.value}")
        load = workload_of(changed) if point.new_model else sharing(base, changed, point.name)
        contenders = _contenders(changed, load, _after(point.overrides, compose), point.what, point.keys)
        for result in measure(contenders, changed.repeats):
            result.point = {point.key: point.value}
            yield result


def _after(first: Sequence[str], compose: Compose) -> Compose:
    return lambda more: compose([*first, *more])


def _check(cfg: DictConfig) -> None:
    positive_int("repeats", cfg.repeats)
    if not isinstance(cfg.what, ListConfig) or not cfg.what or set(cfg.what) - set(OURS):
        raise ConfigError(f"what={cfg.what}: expected a list of {', '.join(OURS)}")
    one = cfg.hardware.devices in (1, "1") and cfg.hardware.num_nodes == 1
    if not one or cfg.hardware.strategy != "auto":
        raise ConfigError("hardware: it measures one device, without a strategy; choose hardware=cpu or gpu")
    check_gpus(cfg.hardware, "cpu")
    check_precision(cfg.hardware, trains=False)
    if cfg.record is not None:
        if not cfg.published:
            raise ConfigError("record: there is no ratio to record; it takes published=true")
        writable_file("record", cfg.record, make_folder=True)


def _say(text: str) -> None:
    print(text, flush=True)

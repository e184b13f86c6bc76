"""Results as JSON, and ratios that are recorded to see later whether something got slower."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from .. import provenance
from ..checks import ConfigError, existing_path
from ..files import write_atomic
from .rounds import PUBLISHED, Result
from .workload import Workload

TOLERANCE = 0.4
"""Share of a recorded ratio that may be missing: another machine, or a busy one, has other ratios."""


def record_of(cfg: DictConfig, base: Workload, results: Sequence[Result], grown: Sequence[Result]) -> dict:
    """All that was measured, with what it was measured on."""
    device = base.device
    parameters = list(base.policy.parameters())
    about = provenance.collect(cfg)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else about["cpu"]["name"]
    with base.precision():
        dtype = str(base.compute_dtype).removeprefix("torch.")
    return {
        "machine": {"device": name, "is_cpu": device.type == "cpu", "threads": torch.get_num_threads()},
        "model": {
            "name": cfg.model.name,
            "weights": "loaded" if cfg.model.path is not None and cfg.weights is None else "random",
            "dtype": dtype,
            "parameters": sum(weight.numel() for weight in parameters),
        },
        "sizes": sizes_of(base),
        "rate": results[0].rate,
        "memory": "allocated on the GPU" if device.type == "cuda" else "resident set of the process",
        "results": [result.record() for result in results],
        "growth": [result.record() for result in grown],
        "provenance": about,
    }


def sizes_of(load: Workload) -> dict[str, int | float]:
    """All sizes that a ratio depends on."""
    sampler, config = load.algorithm.sampler, load.policy.network.config
    return {
        "rows": load.rows,
        "prompts": len(load.prompts),
        "num_generations": load.algorithm.num_generations,
        "num_iterations": load.algorithm.num_iterations,
        "columns": load.columns,
        "length": sampler.length,
        "block_length": sampler.block_length,
        "steps": sampler.steps,
        "temperature": sampler.temperature,
        "vocabulary": config.vocab_size,
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
    }


def ratios_of(results: Sequence[Result]) -> dict[str, float]:
    """``what/case`` → times as fast as the published code, where that was measured.

    On a CPU by processor time, which other processes on the machine hardly change.
    """
    found = {}
    for result in results:
        ratio = result.ratio if result.cpu_ratio is None else result.cpu_ratio
        if ratio is not None and result.name != PUBLISHED:
            found[f"{result.what}/{result.name}"] = round(ratio, 3)
    return found


def write_ratios(path: str | Path, record: Mapping[str, Any], results: Sequence[Result]) -> None:
    """Record the ratios of a run, as :func:`slower_than` reads them."""
    ratios = ratios_of(results)
    if not ratios:
        raise ConfigError("record: there is no ratio to record; it takes published=true")
    about = {name: record["provenance"][name] for name in ("started", "git", "python", "platform")}
    kept = {
        "ratios": ratios,
        "of": "processor time" if record["machine"]["is_cpu"] else "seconds",
        "tolerance": TOLERANCE,
        "sizes": record["sizes"],
        "machine": record["machine"],
        "torch": record["provenance"]["packages"]["torch"],
        **about,
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_atomic(Path(path), json.dumps(kept, indent=2) + "\n")


def read_ratios(path: str | Path, sizes: Mapping[str, Any]) -> tuple[dict[str, float], float]:
    """Recorded ratios and their tolerance.

    Raises:
        ConfigError: It is no such file, or it was recorded at other sizes.
    """
    try:
        kept = json.loads(existing_path("check", path).read_text(encoding="utf-8"))
        ratios, recorded = dict(kept["ratios"]), dict(kept["sizes"])
        tolerance = float(kept.get("tolerance", TOLERANCE))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"check={path}: it holds no recorded ratios; record={path} writes them") from error
    for name, value in sizes.items():
        if name in recorded and recorded[name] != value:
            raise ConfigError(
                f"check={path}: it was recorded with {name.replace('_', ' ')} {recorded[name]}, this is "
                f"{value}: ratios of other sizes can't be compared"
            )
    return ratios, tolerance


def slower_than(recorded: Mapping[str, float], tolerance: float, now: Mapping[str, float]) -> list[str]:
    """A line for each recorded case that is slower now, or that is not measured any more."""
    lines = []
    for name, before in recorded.items():
        if name not in now:
            lines.append(f"{name}: recorded with {before:.2f} times the published code, not measured now")
        elif now[name] < before * (1 - tolerance):
            lines.append(
                f"{name}: {now[name]:.2f} times the published code, recorded with {before:.2f} "
                f"(at least {before * (1 - tolerance):.2f} is asked for)"
            )
    return lines

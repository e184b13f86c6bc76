"""Checks of user input that need nothing heavy, so they run before torch is imported.

The same functions guard the command line (through :func:`check_config`) and the constructors of the
classes that depend on them, so both say the same thing. Each raises :class:`ConfigError`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TABLES = (".jsonl", ".json", ".parquet")
"""Kinds of files that data is read from."""

ACTIONS = ("warn", "skip", "stop")
"""What a guard may do about an alarm."""

_GUARDS = ("finite", "identical_completions", "constant_reward", "exploding_metric", "logprob_drift")
_PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class ConfigError(ValueError):
    """Bad input, said in one line: which key or file, what is wrong, what would be right."""


def positive_int(name: str, value: Any) -> int:
    """``value``, if it is an integer of at least 1."""
    if not _is_int(value) or value < 1:
        raise ConfigError(f"{name}={value}: expected a whole number of at least 1")
    return value


def whole_number(name: str, value: Any) -> int:
    """``value``, if it is an integer of at least 0."""
    if not _is_int(value) or value < 0:
        raise ConfigError(f"{name}={value}: expected a whole number of at least 0")
    return value


def not_negative(name: str, value: Any) -> float:
    """``value``, if it is a number of at least 0."""
    if not _is_number(value) or value < 0:
        raise ConfigError(f"{name}={value}: expected a number of at least 0")
    return value


def positive(name: str, value: Any) -> float:
    """``value``, if it is a number above 0."""
    if not _is_number(value) or value <= 0:
        raise ConfigError(f"{name}={value}: expected a number above 0")
    return value


def fraction(name: str, value: Any) -> float:
    """``value``, if it is a number from 0 to 1."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value}: expected a number from 0 to 1")
    return float(value)


def interval(
    name: str, value: Any, minimum: float, maximum: float = math.inf, *, integer: bool = False
) -> tuple[float, float]:
    """``value`` as (lo, hi) with minimum <= lo <= hi <= maximum; a single number means lo = hi."""
    kind, valid = ("whole number", _is_int) if integer else ("number", _is_number)
    upper = "" if math.isinf(maximum) else f" and at most {maximum:g}"
    bounds = [value, value] if _is_number(value) else value
    is_pair = isinstance(bounds, Sequence) and not isinstance(bounds, str) and len(bounds) == 2
    if not is_pair or not all(valid(b) and minimum <= b <= maximum for b in bounds):
        raise ConfigError(
            f"{name}={_show(value)}: expected [low, high] or one {kind}, each at least {minimum:g}{upper}"
        )
    low, high = bounds
    if low > high:
        raise ConfigError(f"{name}=[{low},{high}]: low is above high; did you mean [{high},{low}]?")
    return low, high


def group_size(value: Any, name: str = "algo.group_size") -> int:
    """``value``, if a group of so many completions can have an advantage relative to its mean."""
    if positive_int(name, value) < 2:
        raise ConfigError(
            f"{name}={value}: advantages are relative to the group's mean reward, so it takes at least 2"
        )
    return value


def denoising_schedule(
    length: Any, block_length: Any, steps: Any, prefix: str = "sampler."
) -> tuple[int, int]:
    """(number of blocks, denoising steps per block) for a canvas of ``length`` tokens.

    Blocks must tile the canvas, steps must spread evenly over the blocks, and a step must fill at
    least one token.
    """
    for key, value in (("length", length), ("block_length", block_length), ("steps", steps)):
        positive_int(prefix + key, value)
    if length % block_length:
        valid = _around(block_length, [d for d in range(1, length + 1) if length % d == 0])
        raise ConfigError(
            f"{prefix}block_length={block_length}: must divide {prefix}length={length}; nearest: {valid}"
        )
    blocks = length // block_length
    if steps % blocks or steps > length:
        valid = _around(steps, list(range(blocks, length + 1, blocks)))
        raise ConfigError(
            f"{prefix}steps={steps}: must be a multiple of the {blocks} blocks "
            f"({prefix}length={length} / {prefix}block_length={block_length}) "
            f"and at most {prefix}length; nearest: {valid}"
        )
    return blocks, steps // blocks


def existing_path(name: str, path: str | Path) -> Path:
    """``path`` as a Path, if there is a file or a folder."""
    found = Path(path).expanduser()
    if not found.exists():
        parent = next(p for p in found.absolute().parents if p.is_dir())
        raise ConfigError(f"{name}={path}: no such file or folder (the last part that exists is {parent})")
    return found


def writable_folder(name: str, path: str | Path) -> str | Path:
    """``path``, if it is a folder that can be written to, or one could be made there."""
    place = Path(path).expanduser().absolute()
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"{name}={path}: {there} is no folder that can be written to")
    return path


def data_source(name: str, path: str, made_by: str | None = None) -> str:
    """``path``, if there is such a file or folder, or it could be the id of a data set on the hub.

    ``made_by`` is the command that makes the file, for the message if there is none.
    """
    place = Path(path).expanduser()
    if place.exists() or (_HUB_ID.fullmatch(path) and place.suffix not in TABLES):
        return path
    try:
        existing_path(name, path)
    except ConfigError as error:
        hint = f"it is made by: {made_by}" if made_by else "nor a hub id such as 'organisation/data-set'"
        raise ConfigError(f"{error}; {hint}") from None
    return path


def model_source(name: str, path: str) -> str:
    """``path``, if it is a folder with a model or an adapter, or could be the id of one on the hub."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not any((folder / file).is_file() for file in ("config.json", "adapter_config.json")):
            raise ConfigError(f"{name}={path}: the folder has no config.json, so it holds no model")
    elif folder.exists():
        raise ConfigError(f"{name}={path}: is a file; expected the folder of a saved model or a hub id")
    elif not _HUB_ID.fullmatch(path):
        raise ConfigError(f"{name}={path}: no such folder, and not a hub id such as 'organisation/model'")
    return path


def lora(name: str, value: Any) -> Any:
    """``value``, if it describes a LoRA adapter."""
    known, needed = {"rank", "alpha", "targets", "dropout"}, ("rank", "alpha", "targets")
    given = set(value) if isinstance(value, Mapping) else set()
    if missing := [key for key in needed if key not in given]:
        raise ConfigError(
            f"{name}: {missing[0]} is missing; expected {{rank: 8, alpha: 16, targets: [q_proj]}}"
        )
    if unknown := sorted(given - known):
        raise ConfigError(f"{name}.{unknown[0]}: unknown; known are {', '.join(sorted(known))}")
    positive_int(f"{name}.rank", value["rank"])
    not_negative(f"{name}.alpha", value["alpha"])
    if isinstance(value["targets"], str) or not value["targets"]:
        raise ConfigError(
            f"{name}.targets={_show(value['targets'])}: expected a list of layers, [q_proj,v_proj]"
        )
    return value


def choice(name: str, value: Any, *known: str) -> str:
    """``value``, if it is one of ``known``."""
    if value not in known:
        raise ConfigError(f"{name}={value}: expected one of {', '.join(known)}")
    return value


def max_time(name: str, value: Any) -> Any:
    """``value``, if Lightning can read it as a duration: "DD:HH:MM:SS" or such as {hours: 48}."""
    units = {"days", "hours", "minutes", "seconds", "weeks"}
    if isinstance(value, Mapping):
        valid = bool(value) and set(value) <= units and all(_is_number(part) for part in value.values())
    else:
        valid = isinstance(value, str) and re.fullmatch(r"\d+(:\d\d){3}", value)
    if not valid:
        raise ConfigError(
            f"{name}={_show(value)}: expected DD:HH:MM:SS, such as 02:00:00:00, or {{hours: 48}}"
        )
    return value


def devices(name: str, value: Any) -> Any:
    """``value``, if Lightning can read it as devices: a count, -1, "auto", or a list of indices."""
    if isinstance(value, str):
        valid = value == "auto" or re.fullmatch(r"-1|\d+(,\d+)*,?", value.replace(" ", ""))
    elif _is_number(value):
        valid = _is_int(value) and (value >= 1 or value == -1)
    else:
        valid = isinstance(value, Sequence) and len(value) > 0 and all(_is_int(i) and i >= 0 for i in value)
    if not valid:
        raise ConfigError(
            f"{name}={_show(value)}: expected a count of at least 1, -1 or auto for all, "
            "or a list of indices such as [0,1]"
        )
    return value


_BY_KEY: dict[str, Callable[[str, Any], Any]] = {
    "algo.group_size": lambda name, value: group_size(value, name),
    "algo.inner_updates": positive_int,
    "algo.updates_per_pass": positive_int,
    "algo.windows": positive_int,
    "algo.epochs": positive,
    "algo.trainer.max_time": max_time,
    "algo.trainer.gradient_clip_val": not_negative,
    "algo.scheduler.warmup": whole_number,
    "algo.scheduler.final": fraction,
    "algo.steps": positive_int,
    "algo.validate_every": positive_int,
    "algo.rows_per_forward": positive_int,
    "algo.loss.ratio": lambda name, value: choice(name, value, "token", "sequence"),
    "algo.loss.clip": not_negative,
    "algo.loss.clip_high": not_negative,
    "algo.loss.kl": not_negative,
    "algo.optimizer.lr": not_negative,
    "algo.optimizer.weight_decay": not_negative,
    "data.val_size": whole_number,
    "data.test_size": whole_number,
    "data.eval_batch": positive_int,
    "data.source.steps": lambda name, value: interval(name, value, 1, integer=True),
    "data.source.train_size": whole_number,
    "data.source.heldout_size": whole_number,
    "seed": whole_number,
    "sampler.temperature": not_negative,
    "output_dir": writable_folder,
    "resume": lambda name, value: value if value == "auto" else existing_path(name, value),
    "model.lora": lora,
    "model.create.hidden_size": positive_int,
    "model.create.layers": positive_int,
    "model.create.heads": positive_int,
    "model.create.mlp_size": positive_int,
    "callbacks.checkpoint.every": positive_int,
    "callbacks.checkpoint.keep": positive_int,
    "callbacks.watchdog.timeout": positive,
    "algo.prompts_per_window": positive_int,
    "algo.prompts_per_step": positive_int,
    "algo.rows_per_step": positive_int,
    "algo.batch_size": positive_int,
    "algo.inpaint.ratio": lambda name, value: interval(name, value, 0, 1),
    "algo.inpaint.replace": fraction,
    "algo.inpaint.placer.chunk": lambda name, value: interval(name, value, 1, integer=True),
    "algo.token_filter.fraction": fraction,
    "data.train_path": data_source,
    "data.heldout_path": data_source,
    "model.path": model_source,
    "hardware.devices": devices,
    "hardware.num_nodes": positive_int,
    "hardware.threads": positive_int,
    "hardware.precision": lambda name, value: choice(name, value, *_PRECISIONS),
    **{f"callbacks.{guard}.action": lambda name, value: choice(name, value, *ACTIONS) for guard in _GUARDS},
    "batch_size": positive_int,
    "limit": positive_int,
    "benchmarks_dir": existing_path,
    "rescore": existing_path,
    "attempts": positive_int,
    "max_failures": positive_int,
    "rewriter.concurrency": positive_int,
    "rewriter.max_tokens": positive_int,
    "rewriter.batch_size": positive_int,
}
_SCHEDULE = ("sampler.length", "sampler.block_length", "sampler.steps")


def check_config(cfg: Any) -> None:
    """Check the keys of a composed config that have a meaning here; absent and null ones pass.

    Args:
        cfg: An OmegaConf ``DictConfig``.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationResolutionError

    def value_of(key: str) -> Any:
        try:
            value = OmegaConf.select(cfg, key)
        except InterpolationResolutionError:  # depends on something that only exists during a run
            return None
        return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value

    for key, check in _BY_KEY.items():
        if (value := value_of(key)) is not None:
            check(key, value)
    if (path := value_of("data.path")) is not None and value_of("data.made_by") is None:
        data_source("data.path", path)  # what another command makes may not be there yet
    schedule = [value_of(key) for key in _SCHEDULE]
    if None not in schedule:
        denoising_schedule(*schedule)
    terms, correctness = value_of("reward.terms"), value_of("reward.correctness")
    if terms and correctness:
        choice("reward.correctness", correctness, *(term for term in terms if terms[term]))
    width, heads = value_of("model.create.hidden_size"), value_of("model.create.heads")
    if width and heads and width % (2 * heads):
        raise ConfigError(f"model.create.heads={heads}: must divide hidden_size={width} into even parts")
    count, nodes = value_of("hardware.devices"), value_of("hardware.num_nodes") or 1
    if _is_int(count) and count > 0:
        for key in ("algo.prompts_per_window", "algo.batch_size"):
            if (total := value_of(key)) is not None:
                share_of(key, total, count * nodes)


def share_of(name: str, total: int, world: int) -> int:
    """What each of ``world`` processes gets of ``total``, which they must be able to share evenly."""
    share, rest = divmod(positive_int(name, total), world)
    if rest:
        raise ConfigError(
            f"{name}={total}: must be a multiple of the {world} processes; nearest: {max(share, 1) * world}"
        )
    return share


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _around(value: int, valid: Sequence[int]) -> str:
    """The nearest valid values below and above, as text."""
    below = [v for v in valid if v < value][-1:]
    above = [v for v in valid if v > value][:1]
    return " or ".join(str(v) for v in below + above)


def _show(value: Any) -> str:
    """As it would be typed on the command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, (list, tuple)) else str(value)

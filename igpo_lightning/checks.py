"""Checks of user input that need nothing heavy, so they run before torch is imported.

The same functions guard the command line (through :func:`check_config`) and the constructors of the
classes that depend on them, so both say the same thing. Each raises :class:`ConfigError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from igpo_lightning.amounts import (
    around,
    choice,
    fraction,
    interval,
    is_int,
    is_number,
    not_negative,
    positive,
    positive_int,
    show,
    whole_number,
)
from igpo_lightning.errors import ConfigError
from igpo_lightning.paths import TABLES as TABLES
from igpo_lightning.paths import data_source, existing_path, model_source, writable_folder

_ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")
_STRATEGIES = re.compile(r"(auto|ddp|fsdp|deepspeed|single_device)(_\w+)?")  # Lightning's words for them
DTYPES = ("float32", "bfloat16", "float16", "float64")
_PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "16-mixed", "16-true", "64-true")


def num_generations(value: Any, name: str = "algo.num_generations") -> int:
    """``value``, if a group of so many completions can have an advantage relative to its mean."""
    if positive_int(name, value) < 2:
        raise ConfigError(
            f"{name}={value}: advantages are relative to the group's mean reward, so it takes at least 2"
        )
    return value


def rows_per_forward(name: str, value: Any) -> Any:
    """A number of rows, or "auto"."""
    return value if value == "auto" else positive_int(name, value)


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
        valid = around(block_length, [d for d in range(1, length + 1) if length % d == 0])
        raise ConfigError(
            f"{prefix}block_length={block_length}: must divide {prefix}length={length}; nearest: {valid}"
        )
    blocks = length // block_length
    if steps % blocks or steps > length:
        valid = around(steps, list(range(blocks, length + 1, blocks)))
        raise ConfigError(
            f"{prefix}steps={steps}: must be a multiple of the {blocks} blocks "
            f"({prefix}length={length} / {prefix}block_length={block_length}) "
            f"and at most {prefix}length; nearest: {valid}"
        )
    return blocks, steps // blocks


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
            f"{name}.targets={show(value['targets'])}: expected a list of layers, [q_proj,v_proj]"
        )
    return value


def max_time(name: str, value: Any) -> Any:
    """``value``, if Lightning can read it as a duration: "DD:HH:MM:SS" or such as {hours: 48}."""
    units = {"days", "hours", "minutes", "seconds", "weeks"}
    if isinstance(value, Mapping):
        valid = bool(value) and set(value) <= units and all(is_number(part) for part in value.values())
    else:
        valid = isinstance(value, str) and re.fullmatch(r"\d+(:\d\d){3}", value)
    if not valid:
        raise ConfigError(
            f"{name}={show(value)}: expected DD:HH:MM:SS, such as 02:00:00:00, or {{hours: 48}}"
        )
    return value


def devices(name: str, value: Any) -> Any:
    """``value``, if Lightning can read it as devices: a count, -1, "auto", or a list of indices."""
    if isinstance(value, str):
        valid = value == "auto" or re.fullmatch(r"-1|\d+(,\d+)*,?", value.replace(" ", ""))
    elif is_number(value):
        valid = is_int(value) and (value >= 1 or value == -1)
    else:
        valid = isinstance(value, Sequence) and len(value) > 0 and all(is_int(i) and i >= 0 for i in value)
    if not valid:
        raise ConfigError(
            f"{name}={show(value)}: expected a count of at least 1, -1 or auto for all, "
            "or a list of indices such as [0,1]"
        )
    return value


def template(name: str, value: Any, *fields: str) -> str:
    """``value``, if it is a text that holds all of ``fields``, such as "{question}"."""
    if not isinstance(value, str):
        raise ConfigError(f"{name}={value}: expected a text")
    if missing := [field for field in fields if field not in value]:
        raise ConfigError(f"{name}: it must contain {missing[0]}")
    return value


def betas(name: str, value: Any) -> Any:
    """``value``, if it is Adam's pair of decay rates."""
    if (
        not isinstance(value, Sequence)
        or len(value) != 2
        or not all(is_number(b) and 0 <= b < 1 for b in value)
    ):
        raise ConfigError(f"{name}={show(value)}: expected two numbers of at least 0 and below 1, [0.9,0.99]")
    return value


def reading_first_box(name: str, reward: Any) -> Any:
    """``reward`` as it reads the first box of a completion, if it can (``algo.compat.first_box``)."""
    if not hasattr(reward, "first_box"):
        raise ConfigError(f"algo.compat.first_box: {name} ({type(reward).__name__}) has no method first_box")
    return reward.first_box()


def strategy(name: str, value: Any) -> Any:
    """``value``, if it is a node that names a class or a word that Lightning may know."""
    if isinstance(value, str) and not _STRATEGIES.fullmatch(value):
        raise ConfigError(f"{name}={value}: unknown; choose hardware=ddp, zero2, fsdp, …, or auto")
    return value


_OF_KEYS: dict[Callable[[str, Any], Any], str] = {
    positive_int: """
        algo.rollouts algo.num_iterations algo.updates_per_iteration algo.steps algo.validate_every
        algo.prompts_per_rollout algo.prompts_per_micro_batch algo.batch_size algo.rows_per_micro_batch
        model.create.hidden_size model.create.layers model.create.heads model.create.mlp_size
        callbacks.checkpoint.every callbacks.checkpoint.keep hardware.num_nodes hardware.threads
        data.eval_batch batch_size limit length attempts max_failures
        rewriter.concurrency rewriter.max_tokens rewriter.batch_size
    """,
    whole_number: """
        seed data.split_seed data.val_size data.test_size data.source.train_size algo.scheduler.warmup
    """,
    positive: "algo.epochs callbacks.watchdog.timeout",
    not_negative: """
        algo.loss.epsilon algo.loss.epsilon_high algo.loss.beta algo.optimizer.lr algo.optimizer.weight_decay
        algo.trainer.gradient_clip_val sampler.temperature prices.input prices.output
    """,
    fraction: "algo.scheduler.final algo.inpaint.replace algo.token_filter.top_entropy_quantile",
    existing_path: "benchmarks_dir rescore against check run",
    data_source: "data.train_path data.heldout_path",
}
_BY_KEY: dict[str, Callable[[str, Any], Any]] = {
    **{key: check for check, keys in _OF_KEYS.items() for key in keys.split()},
    "algo.num_generations": lambda name, value: num_generations(value, name),
    "algo.rows_per_forward": rows_per_forward,
    "algo.loss.importance_sampling_level": (
        lambda name, value: choice(name, value, "token", "sequence", "step")
    ),
    "algo.optimizer.betas": betas,
    "algo.inpaint.ratio": lambda name, value: interval(name, value, 0, 1),
    "algo.inpaint.chunk": lambda name, value: interval(name, value, 1, integer=True),
    "algo.supervise_padding": lambda name, value: choice(name, value, "all", "one", "none"),
    "algo.trainer.max_time": max_time,
    "data.source.steps": lambda name, value: interval(name, value, 1, integer=True),
    "data.on_other_split": lambda name, value: choice(name, value, "error", "warn"),
    "model.path": model_source,
    "model.lora": lora,
    "output_dir": writable_folder,
    "resume": lambda name, value: value if value == "auto" else existing_path(name, value),
    "hardware.accelerator": lambda name, value: choice(name, value, *_ACCELERATORS),
    "hardware.strategy": strategy,
    "hardware.devices": devices,
    "hardware.precision": lambda name, value: choice(name, value, *_PRECISIONS),
    "dtype": lambda name, value: choice(name, value, *DTYPES),
    "prompt.user": lambda name, value: template(name, value, "{question}"),
    "rules.user": lambda name, value: template(name, value, "{question}", "{trace}"),
    "rules.retry": lambda name, value: template(name, value, "{reason}"),
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
    for group in ("callbacks", "logger"):
        for name, entry in (value_of(group) or {}).items():
            if entry is not None and not (isinstance(entry, Mapping) and "_target_" in entry):
                raise ConfigError(f"{group}.{name}: expected an object with a _target_, or null for none")
    terms, correctness = value_of("reward.terms"), value_of("reward.correctness")
    if terms and correctness:
        choice("reward.correctness", correctness, *(term for term in terms if terms[term]))
    width, heads = value_of("model.create.hidden_size"), value_of("model.create.heads")
    if width and heads and width % (2 * heads):
        raise ConfigError(f"model.create.heads={heads}: must divide hidden_size={width} into even parts")
    count, nodes = value_of("hardware.devices"), value_of("hardware.num_nodes") or 1
    if is_int(count) and count > 0:
        for key in ("algo.prompts_per_rollout", "algo.batch_size"):
            if (total := value_of(key)) is not None:
                share_of(key, total, count * nodes)


def share_of(name: str, total: int, world: int) -> int:
    """Share of ``total`` for each of ``world`` processes.

    Raises:
        ConfigError: ``total`` is no multiple of ``world``.
    """
    share, rest = divmod(positive_int(name, total), world)
    if rest:
        raise ConfigError(
            f"{name}={total}: must be a multiple of the {world} processes; nearest: {max(share, 1) * world}"
        )
    return share

"""``--help``: usage, groups with their options, the usual settings with their defaults."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from igpo_lightning.cli.composed import Composed
from igpo_lightning.cli.plain import lookup, origin
from igpo_lightning.cli.tree import open_tree

# Shown as far as the composed config has them.
USUAL_KEYS = (
    "seed", "output_dir", "resume", "dry_run", "run", "checkpoint", "merge", "dtype", "warm_start",
    "question", "hint", "watch", "out", "html", "device", "what", "weights", "vocabulary", "prompts", "batch",
    "repeats", "against", "kind", "record", "check",
    "model.path", "model.lora", "data.path", "data.train_path", "benchmarks_dir", "rescore", "rewriter.model",
    "rewriter.base_url", "tokenizer", "length", "limit", "attempts", "keep_fitting", "batch_size",
    "algo.rollouts", "algo.steps", "algo.prompts_per_rollout", "algo.batch_size", "algo.rows_per_micro_batch",
    "algo.prompts_per_micro_batch", "algo.num_generations", "algo.num_iterations", "algo.optimizer.lr",
    "algo.loss.beta", "algo.loss.epsilon", "algo.inpaint.ratio", "algo.inpaint.replace",
    "algo.token_filter.top_entropy_quantile",
    "sampler.length", "sampler.block_length", "sampler.steps", "sampler.temperature", "hardware.devices",
    "hardware.precision", "callbacks.checkpoint.every", "sweep_dir",
)  # fmt: skip

_FLAGS = """\
flags:
  -m             run all combinations of comma-separated values: -m seed=0,1 algo=grpo,igpo
  --cfg job      print the configuration that the rest of the line gives, and stop
  --version      print the version, and stop
  --hydra-help   all other flags

quotes: a value with = # ~ { } ( ) , or letters beyond a-z needs Hydra's and the shell's:
  'output_dir="runs/a=b"'"""


def help_text(conf: Path, config_name: str, overrides: Sequence[str] = ()) -> str:
    """The help of a program, for the groups that ``overrides`` choose."""
    with open_tree(conf, config_name) as tree:
        composed, groups = tree.base_of(overrides), tree.groups()
    width = max(map(len, groups), default=0)
    lines = [f"usage: {program()} [group=option ...] [key=value ...]", *_description(conf, config_name), ""]
    lines.append("groups, * marks the choice (group=option):")
    for group, options in groups.items():
        # Of a group with several choices at once, Hydra does not say which: each is a key of its node. Of one
        # that another choice does without (algo/loss of algo=sft) there is nothing.
        chosen = composed.choices.get(group, composed.flat.get(group, ()))
        default = [chosen] if isinstance(chosen, str) else list(chosen or ())
        marked = ("*" + option if option in default else option for option in options)
        lines.append(f"  {group:{width}}  {'  '.join(marked)}")
    lines += ["", "usual settings with their values (key=value):", *_usual(composed)]
    return "\n".join([*lines, "", _FLAGS])


def program() -> str:
    """The program as it was called."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name


def _usual(composed: Composed) -> Iterator[str]:
    for key in USUAL_KEYS:
        try:
            value: Any = lookup(composed.flat, origin(composed.flat, key))
        except KeyError:
            continue
        if str(value).startswith("${oc.select:"):  # a default that the model may change
            value = OmegaConf.select(composed.cfg, key)
        shown = {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))
        yield f"  {key}={shown.replace(' ', '')}"


def _description(conf: Path, config_name: str) -> Iterator[str]:
    """The comment at the head of the main config."""
    for line in (conf / f"{config_name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        if not line.startswith("# @package"):
            yield line.lstrip("# ")

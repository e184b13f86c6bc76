"""The model that is sampled from, and what its run says of how: prompt format, sampler, loading."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from igpo_lightning.config import quoted, saved_config
from igpo_lightning.errors import ConfigError

CONFIG, MODEL = "config.yaml", "model"  # of a run folder
_WEIGHTS = ("config.json", "adapter_config.json")
_SCHEDULE = ("sampler.length", "sampler.block_length", "sampler.steps")
_KEY = re.compile(r"[+~]*([\w./@]+)=")
_NONE = (
    "model.path: give a model folder, a run folder or a hub id; or make a toy in five minutes, which is "
    "then found under runs/: python -m igpo_lightning.train experiment=quickstart"
)


def with_run(overrides: Sequence[str], runs: Path = Path("runs")) -> list[str]:
    """Overrides that name the model's own folder, and its run's canvas where they say nothing of it.

    The command line is checked by them, so that a length that is typed has to fit the run's blocks.

    Args:
        overrides: With the path of a run or a model, or with none: then the newest toy under ``runs`` is
            taken, if there is any.

    Raises:
        ConfigError: The run has left no model.
    """
    typed = {m[1]: text for text in overrides if (m := _KEY.match(text))}
    given = typed.get("model.path")
    if given is None and "model" in typed:
        return list(overrides)
    named = given and Path(given.partition("=")[2].strip("'\"")).expanduser()
    run = run_of(named) if named else newest_toy(runs)
    if run is None:
        return list(overrides)
    saved = saved_config(run / CONFIG)
    canvas = [
        f"{key}={value}"
        for key in _SCHEDULE
        if "sampler" not in typed and key not in typed and (value := OmegaConf.select(saved, key))
    ]
    return [f"model.path={quoted(str(run / MODEL))}", *canvas, *(text for text in overrides if text != given)]


def take_from_run(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Take from the run of ``cfg.model.path``, if it is of one, what was not typed.

    Args:
        cfg: With the nodes model, sampler and prompt; changed in place.
        overrides: As typed. What they say of these nodes stays; the temperature is never taken from a run.

    Raises:
        ConfigError: No model is given, or the run has left none.
    """
    if cfg.model.path is None:
        raise ConfigError(_NONE)
    run = run_of(Path(str(cfg.model.path)).expanduser())
    if run is None:
        return
    cfg.model.path = str(run / MODEL)
    _adopt(cfg, saved_config(run / CONFIG), {m[1] for text in overrides if (m := _KEY.match(text))})


def newest_toy(runs: Path) -> Path | None:
    """Folder of the newest run under ``runs`` that left a model of ``model=tiny``; None if there is none."""
    marks = [path for depth in ("*", "*/*") for path in runs.glob(f"{depth}/{MODEL}/config.json")]
    for path in sorted(marks, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        config = path.parent.parent / CONFIG
        try:
            if OmegaConf.select(saved_config(config), "model.name") == "tiny":
                return path.parent.parent
        except ConfigError:  # a run without its config, or with one that can't be read, is passed over
            continue
    return None


def run_of(folder: Path) -> Path | None:
    """The run whose folder, or whose model's folder, this is; None if it is neither.

    Raises:
        ConfigError: It is a run's and there is no model in it.
    """
    if (folder.parent / CONFIG).is_file() and folder.name == MODEL and _is_model(folder):
        return folder.parent
    if not (folder / CONFIG).is_file() or _is_model(folder):
        return None
    if not _is_model(folder / MODEL):
        raise ConfigError(
            f"model.path={folder}: this run has left no model yet; a checkpoint makes one: "
            f"python -m igpo_lightning.export {shlex.quote(str(folder))} output_dir=FOLDER"
        )
    return folder


def _adopt(cfg: DictConfig, saved: Any, typed: Iterable[str]) -> None:
    """Put sampler, prompt format and loading of the run under what was typed."""
    temperature = cfg.sampler.temperature
    with open_dict(cfg):
        for node in ("sampler", "prompt", "model.load"):
            old, new = OmegaConf.select(saved, node), OmegaConf.select(cfg, node)
            if old is None or node.partition(".")[0] in typed:  # chosen as a whole
                continue
            for key in typed:
                if key.startswith((f"{node}.", f"{node}/")):
                    inner = key[len(node) + 1 :].replace("/", ".")
                    OmegaConf.update(old, inner, OmegaConf.select(new, inner), merge=False, force_add=True)
            OmegaConf.update(cfg, node, old, merge=False)
        cfg.sampler.temperature = temperature
        if OmegaConf.select(cfg, "model.load.compile_layers") is not None:
            cfg.model.load.compile_layers = cfg.model.compile
        if cfg.model.get("threads") is None:
            cfg.model.threads = OmegaConf.select(saved, "model.threads")


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _WEIGHTS)

"""Checkpoints of every strategy, put together and written as an ordinary model folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from .. import lineage
from ..checks import ConfigError, existing_path
from ..config import construct, saved_config
from ..console import quieten
from ..models import Policy
from ..models.adapter_files import CONFIG as ADAPTER
from .checkpoint_files import BEST, checked, content_of, kind_of, newest
from .model_card import check_hub_id, push, write_card
from .resuming import check_tensors
from .resumption import CHECKPOINTS
from .run import MODEL, build_policy

_PREFIX = "policy."  # of the module's tensors


def run(cfg: DictConfig) -> None:
    """Write a run's last weights, or a checkpoint's, and a model card to ``cfg.output_dir``."""
    quieten()
    folder, out = existing_path("run", cfg.run), Path(cfg.output_dir)
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"output_dir={out}: the folder is not empty; name a new one")
    if cfg.push is not None:
        check_hub_id(cfg.push)
    settings = _settings(folder, cfg.dtype)
    ended = cfg.checkpoint is None and (folder / MODEL).is_dir()
    source = folder / MODEL if ended else _checkpoint(folder, cfg.checkpoint)
    is_adapter = (source / ADAPTER).is_file() or bool(settings.model.lora)
    if cfg.dtype is not None and is_adapter and not cfg.merge:
        raise ConfigError("dtype: an adapter is written as it was trained; merge=true adds it to the weights")
    write = _write_last if ended else _write_checkpoint
    lineage.write(out, write(settings, source, out, cfg.merge))
    write_card(folder, settings, out, cfg.license)
    print(f"{source} → {out}")
    if cfg.push is not None:
        print(f"{out} → {push(out, cfg.push)}")


def _write_last(settings: DictConfig, model: Path, out: Path, merge: bool) -> list[lineage.Split]:
    """Write what the run ended with; returns what it and its ancestors held out."""
    if (model / ADAPTER).is_file() and not merge:
        shutil.copytree(model, out, dirs_exist_ok=True)  # float32, whatever the weights below it are
    else:
        construct(settings.model.load)(str(model), lora=None).save(out)
    return lineage.read(model)


def _write_checkpoint(settings: DictConfig, checkpoint: Path, out: Path, merge: bool) -> list[lineage.Split]:
    """Write a checkpoint's weights; returns what the run and its ancestors held out."""
    data = construct(settings.algo.datamodule.source)
    policy = build_policy(settings, data)
    _load(policy, read_weights(checkpoint), checkpoint)
    policy.save(out, merge=merge)
    return [*lineage.read(settings.model.path), lineage.Split.of(settings.algo.name, data)]


def read_weights(checkpoint: Path) -> dict[str, Tensor]:
    """All weights in a checkpoint, by the module's names, on the CPU.

    DeepSpeed's own files are read by DeepSpeed, which unpickles them: give it only what you trained.
    """
    kind = kind_of(checkpoint)
    if kind == "file":
        return content_of(checkpoint)["state_dict"]
    if kind == "deepspeed":
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

        return dict(get_fp32_state_dict_from_zero_checkpoint(str(checkpoint), tag="checkpoint") or {})
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as scratch:
        whole = Path(scratch) / "whole.pt"
        dcp_to_torch_save(checkpoint, whole)
        return torch.load(whole, map_location="cpu", weights_only=True)["state_dict"]


def _checkpoint(folder: Path, asked: str | None) -> Path:
    if asked not in (None, "best", "newest"):
        return checked(Path(asked), "checkpoint", "best or newest")
    found = folder / CHECKPOINTS / BEST if asked == "best" else newest(folder / CHECKPOINTS)
    if found is None or not found.exists():
        raise ConfigError(f"run={folder}: it has no {asked or 'undamaged'} checkpoint in {CHECKPOINTS}/")
    return checked(found, "checkpoint", "best or newest")


def _settings(folder: Path, dtype: str | None) -> DictConfig:
    """The run's config."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"run={folder}: it has no config.yaml; give the folder of a training run")
    cfg: Any = saved_config(path, "model.load", "algo.name", "data.name")
    cfg.model.load.dtype = dtype or cfg.model.load.dtype
    return cfg


def _load(policy: Policy, weights: dict[str, Tensor], checkpoint: Path) -> None:
    state = {name.removeprefix(_PREFIX): value for name, value in weights.items()}
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    check_tensors(f"checkpoint={checkpoint}", state, policy.state_dict(), trained)
    policy.load_state_dict(state, strict=False)

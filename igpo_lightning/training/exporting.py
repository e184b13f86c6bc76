"""Checkpoints of every strategy, put together and written as an ordinary model folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from .. import lineage
from ..checks import ConfigError, existing_path
from ..config import construct
from ..console import quieten
from ..models import Policy
from .checkpoint_files import BEST, checked, content_of, kind_of, newest
from .model_card import push, write_card
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
    settings = _settings(folder, cfg.dtype)
    if cfg.checkpoint is None and (folder / MODEL).is_dir():
        source = folder / MODEL
        policy = construct(settings.model.load)(str(source), lora=None)
        splits = lineage.read(source)
    else:
        source = _checkpoint(folder, cfg.checkpoint)
        data = construct(settings.algo.datamodule.source)
        policy = build_policy(settings, data)
        splits = [*lineage.read(settings.model.path), lineage.Split.of(settings.algo.name, data)]
        _load(policy, read_weights(source), source)
    policy.save(out, merge=cfg.merge)
    lineage.write(out, splits)
    write_card(folder, settings, out, cfg.license)
    print(f"{source} → {out}")
    if cfg.push is not None:
        print(f"{out} → {push(out, cfg.push)}")


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
        return checked(Path(asked), "checkpoint")
    found = folder / CHECKPOINTS / BEST if asked == "best" else newest(folder / CHECKPOINTS)
    if found is None or not found.exists():
        raise ConfigError(f"run={folder}: it has no {asked or 'undamaged'} checkpoint in {CHECKPOINTS}/")
    return checked(found, "checkpoint")


def _settings(folder: Path, dtype: str | None) -> DictConfig:
    """The run's config."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"run={folder}: it has no config.yaml; give the folder of a training run")
    cfg: Any = OmegaConf.load(path)
    cfg.model.load.dtype = dtype or cfg.model.load.dtype
    return cfg


def _load(policy: Policy, weights: dict[str, Tensor], checkpoint: Path) -> None:
    state = {name.removeprefix(_PREFIX): value for name, value in weights.items()}
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    check_tensors(f"checkpoint={checkpoint}", state, policy.state_dict(), trained)
    policy.load_state_dict(state, strict=False)

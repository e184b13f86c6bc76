"""Record of a run: resolved config, versions, code state, machine and seed, beside its results."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.config import resolved_yaml
from igpo_lightning.errors import ConfigError
from igpo_lightning.files import write_atomic

PACKAGES = (
    "igpo-lightning", "torch", "lightning", "hydra-core", "omegaconf", "transformers", "tokenizers",
    "safetensors", "peft", "datasets", "numpy", "math-verify", "deepspeed", "reasoning-gym", "wandb",
    "openai", "aiolimiter",
)  # fmt: skip

FILE = "provenance.json"
_REPOSITORY = Path(__file__).resolve().parent.parent
_GIT_SECONDS = 20


def write(folder: str | Path, cfg: DictConfig) -> None:
    """Write ``config.yaml`` (interpolations resolved) and ``provenance.json`` into ``folder``.

    Each file appears whole or not at all. Call it on one rank only. What can't be found out (no git,
    no repository, a package that is not installed) is written as null. What an earlier start wrote into the
    same folder is kept beneath ``earlier``, oldest first.

    Raises:
        omegaconf.errors.OmegaConfBaseException: An interpolation of ``cfg`` can't be resolved.
        ConfigError: What is there is not JSON.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "config.yaml", resolved_yaml(cfg))
    record = folder / FILE
    try:
        earlier = starts(json.loads(record.read_text(encoding="utf-8"))) if record.exists() else []
    except ValueError as error:
        raise ConfigError(f"{record}: not JSON ({error}); move it away") from error
    now = collect(cfg) | ({"earlier": earlier} if earlier else {})
    write_atomic(record, json.dumps(now, indent=2) + "\n")


def starts(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Records of all starts of a run, oldest first, of the content of its ``provenance.json``."""
    last = {name: value for name, value in record.items() if name != "earlier"}
    return [*record.get("earlier", []), last]


def collect(cfg: DictConfig) -> dict[str, Any]:
    """The content of ``provenance.json``."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "folder": os.getcwd(),
        "seed": OmegaConf.select(cfg, "seed"),
        "git": git_state(_REPOSITORY),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": {"name": _cpu_name(), "cores": os.cpu_count()},
        "gpus": _gpu_names(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def git_state(repository: Path) -> dict[str, Any] | None:
    """Commit, whether tracked files differ from it, and a hash of how; None outside a checkout.

    ``repository`` must be the top of the work tree: a package installed into an environment that
    happens to lie inside somebody's repository is not described by that repository's commit.
    """
    top = _git(repository, "rev-parse", "--show-toplevel")
    commit = _git(repository, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top.strip()).resolve() != repository.resolve():
        return None
    diff = _git(repository, "diff", "HEAD", "--binary") or ""
    untracked = _git(repository, "ls-files", "--others", "--exclude-standard") or ""
    return {
        "commit": commit.strip(),
        "dirty": bool(diff),
        "diff_sha256": hashlib.sha256(diff.encode()).hexdigest() if diff else None,
        "untracked_files": len(untracked.splitlines()),
    }


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments],
            capture_output=True, timeout=_GIT_SECONDS, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _gpu_names() -> list[str]:
    import torch  # a run has loaded it by now; importing this module must not

    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]

"""Table of the packages that bring launchers and sweepers."""

from __future__ import annotations

# config: (extra of this package, what it installs)
_PLUGINS = {
    "hydra/launcher/joblib": ("sweep-joblib", "hydra-joblib-launcher 'joblib<1.6'"),
    "hydra/launcher/submitit_local": ("sweep-slurm", "hydra-submitit-launcher"),
    "hydra/launcher/submitit_slurm": ("sweep-slurm", "hydra-submitit-launcher"),
    "hydra/launcher/ray": ("sweep-ray", "hydra-ray-launcher"),
    "hydra/sweeper/optuna": ("sweep-optuna", "hydra-optuna-sweeper 'sqlalchemy<2'"),
}


def how_to_install(config: str | None) -> str | None:
    """One line for a missing ``config`` such as "hydra/launcher/joblib"; None if no extra brings it."""
    if config not in _PLUGINS:
        return None
    extra, packages = _PLUGINS[config]
    return f"{config} is not installed: pip install {packages} (the extra {extra})"

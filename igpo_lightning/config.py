"""Where the configuration files are: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def find_conf(package: Path = _PACKAGE) -> Path:
    """The first of ``package/conf`` and ``package/../conf`` that holds ``train.yaml``.

    Raises:
        FileNotFoundError: Neither does, so the installation is broken.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no train.yaml in {candidates[0]} or {candidates[1]}: reinstall igpo-lightning")

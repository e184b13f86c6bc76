"""Settings that the rewrites of a folder depend on, written beside them so that two kinds never mix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from igpo_lightning.checks import ConfigError
from igpo_lightning.files import write_atomic
from igpo_lightning.rewriting.journal import FILE as JOURNAL
from igpo_lightning.rewriting.results import CONCISE
from igpo_lightning.rewriting.rules import Rules
from igpo_lightning.rewriting.writer import Writer

FILE = "settings.json"
RULES = "rules (sha256)"


def settings_of(cfg: DictConfig, rules: Rules, writer: Writer) -> dict[str, Any]:
    """Flat keys and values. How many traces, how fast, and from which address is not among them."""
    settings = {
        "data.source": OmegaConf.to_container(cfg.data.source, resolve=True),
        "length": cfg.length,
        "prompt.response": cfg.prompt.response,
        "tokenizer": cfg.tokenizer,
        "keep_fitting": cfg.keep_fitting,
        RULES: rules.sha256,
        "rewriter": type(writer).__name__,
        **writer.settings,
    }
    return dict(_flat(settings))


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that holds something else than a rewriting with these settings.

    Raises:
        ConfigError: Naming what differs.
    """
    path = folder / FILE
    if not path.exists():
        if found := next((name for name in (JOURNAL, CONCISE) if (folder / name).exists()), None):
            raise ConfigError(
                f"output_dir={folder}: it holds a {found} without {FILE}, so it is not known how that was "
                "made; name another folder"
            )
        return
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path}: can't be read ({error}); name another output_dir") from None
    changes = [
        f"{key} was {_shown(before, key)}, now {_shown(settings, key)}"
        for key in {**before, **settings}
        if (key in before, before.get(key)) != (key in settings, settings.get(key))
    ]
    if changes:
        raise ConfigError(
            f"output_dir={folder}: it holds rewrites made with other settings: {'; '.join(changes)}. "
            "Go back to those, or name another folder"
        )


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write them down, if they are not yet."""
    if not (folder / FILE).exists():
        write_atomic(folder / FILE, json.dumps(settings, indent=2) + "\n")


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return "null" if settings.get(key) is None else str(settings[key])[:80]

"""A checkpoint as its authors published it: read as it is, and written back so that others can load it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from transformers.utils import cached_file

from .family import Family

CONFIG = "config.json"
_TOKENIZER_CONFIG = "tokenizer_config.json"
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
# Files beside the weights that belong to a model.
_COMPANIONS = (
    "generation_config.json",
    _TOKENIZER_CONFIG,
    *(*VOCABULARIES, "merges.txt"),
    *("added_tokens.json", "special_tokens_map.json", "chat_template.jinja"),
)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Published:
    """Published layout of a model: its source, and how weights are written in it.

    Attributes:
        family: Its layout.
        source: Its folder, or its id on the hub.
        config: Its config.json, unchanged.
        files: Its other files without the weights, by name: tokenizer, generation config, and, of a
            folder, its code. Nothing here runs that code; whoever loads the model with it needs it.
    """

    family: Family
    source: str
    config: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def with_mask(self, mask_id: int) -> Published:
        """The same with a mask token's id in its config.json, unless that has one."""
        if self.config.get("mask_token_id") is not None:
            return self
        return replace(self, config={**self.config, "mask_token_id": mask_id})

    def write(self, state: Mapping[str, Tensor], folder: str | Path, max_shard_size: str = "5GB") -> None:
        """Write a model into ``folder``, in the published layout.

        Args:
            state: Tensors by the stock network's names; tied ones once.
            folder: Made if there is none.
            max_shard_size: Of one weight file; above it there are several, and an index.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = self._findable(self.config)
        for name in {"dtype", "torch_dtype"} & config.keys():
            config[name] = _dtype_of(state)
        _write_json(folder / CONFIG, config)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        if _TOKENIZER_CONFIG in self.files:
            tokenizer_config = json.loads(self.files[_TOKENIZER_CONFIG])
            if (findable := self._findable(tokenizer_config)) != tokenizer_config:
                _write_json(folder / _TOKENIZER_CONFIG, findable)
        tensors = {self.family.published_name(name): tensor.detach() for name, tensor in state.items()}
        save_torch_state_dict(tensors, folder, max_shard_size=max_shard_size, metadata={"format": "pt"})

    def _findable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of ``config`` whose ``auto_map`` names code that whoever reads it can find.

        Code that lies beside it is named as before; other code is named with its hub repository.
        """
        hub_id = self.config.get("_name_or_path") if Path(self.source).is_dir() else self.source
        has_code = any(name.endswith(".py") for name in self.files)
        auto_map = config.get("auto_map")
        if not isinstance(auto_map, dict) or has_code or not _HUB_ID.fullmatch(str(hub_id)):
            return dict(config)
        return {**config, "auto_map": {name: _on_hub(str(hub_id), value) for name, value in auto_map.items()}}


def read_published(family: Family, source: str, config: Mapping[str, Any], revision: str | None) -> Published:
    """The published model in a folder or hub repository, without its weights."""
    names = [*_COMPANIONS]
    if Path(source).is_dir():
        names += sorted(file.name for file in Path(source).glob("*.py"))
    files = {name: _read(source, name, revision) for name in names}
    return Published(family, source, config, {name: data for name, data in files.items() if data is not None})


def read_config(source: str, revision: str | None = None) -> dict[str, Any]:
    """The config.json of a folder or hub repository, as it is.

    Raises:
        OSError: There is none, or the hub can't be reached.
        ValueError: It is not a JSON object.
    """
    path: Any = cached_file(source, CONFIG, revision=revision)  # raises where there is none
    config = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{CONFIG} holds no JSON object")
    return config


def _read(source: str, name: str, revision: str | None) -> bytes | None:
    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    path = cached_file(source, name, revision=revision, **quiet)
    return None if path is None else Path(path).read_bytes()


def _on_hub(hub_id: str, reference: Any) -> Any:
    """``module.Class`` as ``hub_id--module.Class``; a reference that names its repository stays."""
    if isinstance(reference, list):
        return [_on_hub(hub_id, item) for item in reference]
    return reference if reference is None or "--" in reference else f"{hub_id}--{reference}"


def _dtype_of(state: Mapping[str, Tensor]) -> str:
    floating = next((t.dtype for t in state.values() if t.is_floating_point()), torch.float32)
    return str(floating).removeprefix("torch.")


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

"""The weight files of a local folder, looked at before they are loaded; and what was loaded, after.

Downloads break off, ``git clone`` without LFS leaves pointers, and a second save leaves its shards beside
those of the first. Each is said in one line; the libraries that read the files say it in a traceback, or
take one of two sets without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WHOLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"
_SHARD = re.compile(r"model(\.safetensors)?-\d+-of-\d+\.safetensors")
_POINTER = b"version https://git-lfs"
_LONGEST_HEADER = 100_000_000  # bytes; safetensors refuses longer ones
Shapes = dict[str, tuple[int, ...]]


def check_model_files(folder: str | Path, needed: bool = True) -> None:
    """Refuse a local model folder whose weights are damaged, incomplete or there twice.

    Only headers are read. What is no folder, such as an id on the hub, passes.

    Args:
        folder: Of a whole model, not of an adapter.
        needed: Whether a folder without any weights is refused, too.

    Raises:
        ConfigError: It names the file, what is wrong with it and what to do.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return
    present = {file.name for file in folder.glob("*.safetensors")}
    if not present and not needed:
        return
    index = _read_index(folder / INDEX) if (folder / INDEX).exists() else {}
    named = set(index.values())
    ours = {name for name in present if name == WHOLE or _SHARD.fullmatch(name)}
    used = INDEX if index else WHOLE
    extra = sorted(ours - named if index else ours - {WHOLE})
    if extra and (index or WHOLE in ours):
        raise ConfigError(
            f"model.path: {folder} holds two sets of weights, {used} and {extra[0]}: which one is meant "
            "can't be told; move one of them away"
        )
    if absent := sorted(named - present):
        raise ConfigError(
            f"model.path: {folder / INDEX} names {len(absent)} files that are not there, e.g. {absent[0]}; "
            "download them again"
        )
    if extra:
        raise ConfigError(
            f"model.path: {folder} holds {extra[0]}, a part of its weights, but no {INDEX}; download it again"
        )
    if not ours and not named and (pickles := sorted(folder.glob("pytorch_model*.bin"))):
        raise ConfigError(
            f"model.path: {pickles[0]} is a pickle, which could run code; only safetensors are read: "
            "convert it, or take a revision that has them"
        )
    if not ours and not named and needed:
        raise ConfigError(f"model.path: {folder} has no {WHOLE} and no {INDEX}, so it holds no weights")
    tensors = {name: tensor_shapes(folder / name) for name in sorted(named or ours)}
    for name, file in index.items():
        if name not in tensors[file]:
            raise ConfigError(
                f"model.path: {folder / file} lacks the tensor {name} that {INDEX} says it has; "
                "download both again"
            )


def check_loaded(
    path: str, info: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel
) -> None:
    """Refuse a model that is not the one that was saved.

    Args:
        path: For the message.
        info: What transformers tells of its loading: keys that were missing, unexpected, mismatched.

    Raises:
        ConfigError: Tensors are missing, too many, or of other shapes, or the tokenizer has more tokens.
    """
    wrong = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]
    if wrong:
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in wrong)
        raise ConfigError(
            f"model.path: the weights in {path!r} do not fit its config.json: {len(names)} tensors are "
            f"missing or of another shape, e.g. {names[0]}; is this a checkpoint of another model?"
        )
    # Rotary frequencies are computed from the config; old checkpoints hold them as well.
    extra = sorted(key for key in info.get("unexpected_keys", ()) if not key.endswith("rotary_emb.inv_freq"))
    if extra:
        raise ConfigError(
            f"model.path: the weights in {path!r} hold {len(extra)} tensors that its config.json has no "
            f"place for, e.g. {extra[0]}: without them another model would be computed than was saved"
        )
    head: Any = model.get_output_embeddings()
    embeddings: Any = model.get_input_embeddings()
    if model.config.tie_word_embeddings and head.weight is not embeddings.weight:
        raise ConfigError(
            f"model.path: config.json of {path!r} ties the output head to the embeddings, but the weights "
            "hold two different tensors for them; set the field that ties them to false"
        )
    if len(tokenizer) > embeddings.num_embeddings:
        raise ConfigError(
            f"model.path: the tokenizer in {path!r} has {len(tokenizer)} tokens but the model embeds only "
            f"{embeddings.num_embeddings}"
        )


def tensor_shapes(file: Path, key: str = "model.path") -> Shapes:
    """Names and shapes of the tensors in a safetensors file, whose length is checked.

    Raises:
        ConfigError: The file is empty, a Git LFS pointer, cut or damaged.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        if size == 0:
            raise ConfigError(f"{key}: {file} is empty; download it again")
        if (start + stream.read(len(_POINTER) - 8)).startswith(_POINTER):
            raise ConfigError(
                f"{key}: {file} is a Git LFS pointer, not the weights themselves; "
                "run git lfs pull, or download it again"
            )
        length = int.from_bytes(start, "little")
        if size < 8 or length > _LONGEST_HEADER:
            raise ConfigError(f"{key}: {file} is damaged or no safetensors file; download it again")
        stream.seek(8)
        header = stream.read(length)
    if len(header) == length:
        try:
            tensors = {name: value for name, value in json.loads(header).items() if name != "__metadata__"}
            shapes = {name: tuple(map(int, value["shape"])) for name, value in tensors.items()}
            ends = [int(value["data_offsets"][1]) for value in tensors.values()]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise ConfigError(f"{key}: {file} is damaged (its header); download it again") from None
        whole = 8 + length + max(ends, default=0)
    else:
        whole = 8 + length
    if size < whole:
        raise ConfigError(
            f"{key}: {file} is cut short, {size:,} of at least {whole:,} bytes are there; download it again"
        )
    if size > whole:
        raise ConfigError(f"{key}: {file} is damaged, {size - whole:,} bytes too long; download it again")
    return shapes


def _read_index(path: Path) -> Mapping[str, str]:
    """Tensor name → file."""
    try:
        index = json.loads(path.read_bytes())["weight_map"]
        if index and all(isinstance(file, str) for file in index.values()):
            return index
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise ConfigError(f"model.path: {path} is damaged (no weight_map in it); download it again")

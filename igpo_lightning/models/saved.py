"""A saved model without its weights: where it lies, its network and layout, its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from ..checks import DTYPES, ConfigError, choice, model_source
from ..errors import first_line
from .dream import DREAM
from .llada import LLADA
from .published import VOCABULARIES, Published, read_config, read_published
from .sdar import SDAR
from .tokens import add_mask_token

FAMILIES = {family.model_type: family for family in (LLADA, DREAM, SDAR)}


def base_of(path: str) -> tuple[str, list[str]]:
    """The whole model's folder or hub id, and the adapter folders on top of it, lowest first.

    Raises:
        ConfigError: There is no such model.
    """
    if not (Path(path) / "adapter_config.json").is_file():
        return model_source("model.path", path), []
    from .adapters import chain

    base, adapters = chain(path)
    return model_source(f"{adapters[0]}/adapter_config.json: base_model_name_or_path", base), adapters


@contextmanager
def reading(model: str) -> Iterator[None]:
    """Within this context what the libraries raise about a saved ``model`` is said in one line."""
    try:
        yield
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"model.path: cannot load {model}: {first_line(error)}") from error


def torch_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The dtype of a name.

    Raises:
        ConfigError: It is none that weights are loaded in.
    """
    return getattr(torch, choice("model.load.dtype", dtype, *DTYPES)) if isinstance(dtype, str) else dtype


def network_config(
    base: str, revision: str | None = None, mask_id: int | None = None
) -> tuple[PreTrainedConfig, Published | None]:
    """The bidirectional stock network of a model, and how it was published if not as that network.

    Reads no weights: with ``torch.device("meta")`` and ``AutoModelForCausalLM.from_config`` it
    gives the whole network's shapes. A config without a mask token's id gets ``mask_id``.

    Raises:
        OSError, ValueError: No such model, or not a config.
        ConfigError: A published layout whose network is not the stock one.
    """
    raw = read_config(base, revision)
    family = FAMILIES.get(str(raw.get("model_type")))
    if raw.get("mask_token_id") is None and mask_id is not None:
        raw["mask_token_id"] = mask_id  # whoever loads a copy finds it
    published = None
    if family is None:
        config: Any = AutoConfig.from_pretrained(base, revision=revision, trust_remote_code=False)
        config.mask_token_id = raw.get("mask_token_id")
    else:
        try:
            config = family.config(raw)
        except KeyError as error:
            raise ConfigError(f"model.path: config.json of {base!r} has no field {error}") from None
        published = read_published(family, base, raw, revision)
    config.is_causal = False  # read by transformers' mask construction
    return config, published


def make_bidirectional(model: Any) -> None:
    """Let all columns of a network see all, whatever its config says."""
    model.config.is_causal = False
    for module in model.modules():
        # Attention backends that get no mask fall back to the module's own flag.
        if hasattr(module, "is_causal"):
            module.is_causal = False


def tokenizer_of(
    base: str,
    adapters: Sequence[str],
    config: PreTrainedConfig,
    published: Published | None,
    revision: str | None,
    mask_token: str | None,
) -> PreTrainedTokenizerBase:
    """The tokenizer of the uppermost adapter that has one (others train without a copy), or of the base.

    Args:
        mask_token: As of :func:`~.loading.load_policy`.
    """
    with_one = (f for f in reversed(adapters) if any((Path(f) / name).is_file() for name in VOCABULARIES))
    tokenizer = AutoTokenizer.from_pretrained(
        next(with_one, base),
        config=config,
        tokenizer_type=published.family.tokenizer_type if published else None,
        revision=revision,
        trust_remote_code=False,
    )
    tokenizer.init_kwargs.pop("auto_map", None)  # whoever loads a copy of it needs no code either
    if config.mask_token_id is None:
        add_mask_token(tokenizer, mask_token)
    return tokenizer

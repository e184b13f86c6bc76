"""A policy without its weights: right in every shape and dtype, on the meta device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import is_flash_attn_2_available

from ..checks import ConfigError
from .casting import trained_in_float32
from .family import Family
from .policy import Policy
from .published import Published
from .quantization import KINDS
from .saved import base_of, make_bidirectional, network_config, reading, tokenizer_of, torch_dtype
from .weight_files import check_model_files

# Bytes of a quantised weight with its share of the scales (arXiv 2305.14314, section 3: 0.127 bits a
# weight after double quantisation; one float32 a row for int8, which is nothing).
_QUANTISED = {"nf4": (4 + 0.127) / 8, "int8": 1.0}


@dataclass(frozen=True)
class Skeleton:
    """Shapes and dtypes of what :func:`load_policy` or :func:`create_policy` builds, without weights.

    Attributes:
        config: Of the stock network, already translated from a published one.
        dtype: Of the weights; new adapters get the one that peft gives them.
        attn_implementation: As transformers names it.
        lora: Options of :func:`igpo_lightning.models.adapters.add_lora`, or None.
        frozen: Adapter folders beneath it.
        quantize: "nf4" or "int8" weights under the adapters, or None.
        gradient_checkpointing: Whether blocks are computed again in the backward pass.
        cast: What a strategy converts all weights to, or None.
        published: How it was published, if not as the stock network.
        source: Where the weights are; None if they are yet to be made.
    """

    config: PreTrainedConfig
    dtype: torch.dtype = torch.float32
    attn_implementation: str = "sdpa"
    lora: Mapping[str, Any] | None = None
    frozen: tuple[str, ...] = ()
    quantize: str | None = None
    gradient_checkpointing: bool = False
    cast: torch.dtype | None = None
    published: Published | None = None
    source: str | None = None

    @property
    def layers(self) -> int:
        return self.config.num_hidden_layers

    @property
    def hidden_dtype(self) -> torch.dtype:
        """Dtype of the output head and of its input, outside of autocast."""
        if self.cast is not None:
            return self.cast
        whole = not self.lora and not self.frozen
        return torch.promote_types(self.dtype, torch.float32) if whole else self.dtype

    def converted(self, dtype: torch.dtype | None) -> Skeleton:
        """The same with all weights in ``dtype``, adapters too; None leaves them."""
        return self if dtype is None else replace(self, cast=dtype)

    def policy(self, tokenizer: PreTrainedTokenizerBase) -> Policy:
        """The whole policy, on the meta device."""
        return Policy(self.model(), tokenizer, published=self.published, source=self.source)

    def network(
        self, layers: int | None = None, vocabulary: int | None = None, device: torch.device | str = "meta"
    ) -> nn.Module:
        """The ``*ForCausalLM``, with adapters injected if there are any.

        Args:
            layers: So many blocks instead of all.
            vocabulary: So many entries instead of all.
            device: "meta" holds nothing; elsewhere the weights are constants, fit for timing only.
        """
        config = copy.deepcopy(self.config)
        if layers is not None:
            config.num_hidden_layers = layers
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:layers]
        if vocabulary is not None:
            config.vocab_size = vocabulary
            config.pad_token_id = None  # its row of the embedding may not exist any more
        model = replace(self, config=config).model()
        network = model.get_base_model() if hasattr(model, "peft_config") else model
        return network if torch.device(device).type == "meta" else _filled(network.to_empty(device=device))

    def model(self) -> Any:
        """The network as the policy holds it: a peft model if there are adapters."""
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                self.config, dtype=self.dtype, attn_implementation=self.attn_implementation
            )
            make_bidirectional(model)
            if self.gradient_checkpointing:
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            model.train()  # as a stage has it
            model = self._adapted(model)
        return trained_in_float32(model) if self.cast is None else model.to(self.cast)

    def _adapted(self, model: nn.Module) -> nn.Module:
        if not self.lora and not self.frozen:
            return model
        from .adapters import add_lora

        exact = self.dtype == torch.float32 and not self.quantize  # earlier adapters are added to the weights
        if self.frozen and not exact:
            model = _with_frozen(model, self.frozen, self.published and self.published.family)
        return add_lora(model, **self.lora) if self.lora else model

    def bytes_of(self, name: str, parameter: nn.Parameter) -> float:
        """Bytes of a weight of :meth:`model` in memory."""
        linear = parameter.dim() == 2 and not any(part in name for part in ("lm_head", "embed", "lora_"))
        if self.quantize and linear:
            return parameter.numel() * _QUANTISED[self.quantize]
        return parameter.numel() * parameter.element_size()


def skeleton_of_saved(
    path: str,
    *,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str = "sdpa",
    lora: Mapping[str, Any] | None = None,
    quantize: str | None = None,
    mask_token: str | None = None,
    mask_id: int | None = None,
    revision: str | None = None,
    gradient_checkpointing: bool = False,
    compile_layers: bool | str = False,
    liger: bool = False,  # keeps as much as what it replaces, or less
    seed: int = 0,
) -> tuple[Skeleton, PreTrainedTokenizerBase | None]:
    """Skeleton of what :func:`load_policy` makes of these arguments, and its tokenizer if readable.

    Of the checkpoint it needs config.json only.

    Raises:
        ConfigError: No such model, or not a supported one.
    """
    if quantize is not None and (quantize not in KINDS or not lora):
        raise ConfigError(f"model.load.quantize={quantize}: expected null or, with model.lora, {KINDS}")
    if attn_implementation == "flash_attention_2" and not is_flash_attn_2_available():
        attn_implementation = "sdpa"  # keeps as much; here it need not run
    base, adapters = base_of(path)
    check_model_files(base, needed=False)
    revision = revision if base == path else None
    with reading(repr(path)):
        config, published = network_config(base, revision, mask_id)
    try:
        tokenizer = tokenizer_of(base, adapters, config, published, revision, mask_token)
    except (OSError, ValueError, TypeError, RuntimeError):
        tokenizer = None
    skeleton = Skeleton(
        config=config,
        dtype=torch_dtype(dtype),
        attn_implementation=attn_implementation,
        lora=lora,
        frozen=tuple(adapters),
        quantize=quantize,
        gradient_checkpointing=gradient_checkpointing,
        published=published,
        source=path,
    )
    return skeleton, tokenizer


def skeleton_of_new(
    create: Callable[..., Policy], tokenizer: PreTrainedTokenizerBase, lora: Mapping[str, Any] | None
) -> Skeleton:
    """Skeleton of what ``create(tokenizer, lora=lora)`` makes; create is e.g. :func:`create_policy`."""
    with torch.device("meta"):
        network = create(tokenizer, lora=None).network
    return Skeleton(config=network.config, dtype=network.dtype, lora=lora)


def _with_frozen(model: nn.Module, folders: tuple[str, ...], family: Family | None) -> nn.Module:
    """``model`` with adapters of the shapes of saved ones."""
    from .adapter_files import read_adapter
    from .adapters import inject

    network = model
    for i, folder in enumerate(folders):
        model = inject(model, read_adapter(folder, network, family).config, f"frozen_{i}")
    return model.requires_grad_(False)


def _filled(model: nn.Module, value: float = 1e-2) -> nn.Module:
    """Constants instead of a draw per weight, which takes a minute at the widths of an 8B model."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(value)
    return model

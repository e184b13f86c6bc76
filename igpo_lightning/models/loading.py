"""Policies from scratch, from a local folder, or from the hub. Never runs code of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
)
from transformers.utils import is_flash_attn_2_available

from ..checks import ConfigError
from ..checks import lora as check_lora
from .compiling import Compiling
from .policy import Policy
from .published import Published
from .quantization import quantization_options
from .saved import base_of, make_bidirectional, network_config, reading, tokenizer_of, torch_dtype
from .tokens import make_room
from .weight_files import check_loaded, check_model_files

ATTENTION = ("sdpa", "eager", "flash_attention_2")


def create_policy(
    tokenizer: PreTrainedTokenizerBase,
    *,
    hidden_size: int,
    layers: int,
    heads: int,
    mlp_size: int,
    max_length: int = 4096,
    rope_theta: float = 500_000.0,
    init_std: float = 0.02,
    tie_embeddings: bool = False,
    block_size: int | None = None,
    attn_implementation: str = "sdpa",
    lora: Mapping[str, Any] | None = None,
    compile_layers: bool | str = False,
    seed: int = 0,
) -> Policy:
    """A policy of the LLaDA architecture with fresh weights.

    Args:
        hidden_size, layers, heads, mlp_size: Widths and depth of the Llama blocks.
        max_length: Longest canvas, in tokens.
        rope_theta: Base of the rotary embedding; LLaDA's is 500,000. With heads of 16 dimensions and
            canvases of 40 tokens that leaves two usable frequencies: take about 100.
        block_size: Columns of a block, for a block-causal policy; None: all columns see all.
        compile_layers: See :func:`load_policy`.
        init_std: Standard deviation of the initial weights.
        seed: Of the initial weights; the global generator is left as it was.
    """
    others: dict[str, Any] = {  # declared by the base class
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "attn_implementation": attn_implementation,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=mlp_size,
        max_position_embeddings=max_length,
        rope_parameters={"rope_type": "default", "rope_theta": rope_theta},
        rms_norm_eps=1e-5,
        initializer_range=init_std,
        tie_word_embeddings=tie_embeddings,
        bos_token_id=None,
        **others,
    )
    config.mask_token_id = tokenizer.mask_token_id
    config.block_size = block_size
    with _initialised_from(seed):
        model = LlamaForCausalLM(config)
    return _finish(model, tokenizer, lora, seed, compile_layers)


def load_policy(
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
    liger: bool = False,
    seed: int = 0,
) -> Policy:
    """A policy from a Hugging Face folder or hub id (safetensors only, no remote code).

    LLaDA, Dream and SDAR are read as published, any other causal LM with ``.model`` and ``.lm_head`` (Llama,
    Qwen) is made bidirectional. An adapter folder is applied to its base, which may be one again.

    Args:
        path: Folder or hub id.
        dtype: Of the weights that are not quantised.
        attn_implementation: "sdpa", "eager" or "flash_attention_2".
        lora: Rank, alpha, targets (and dropout) of a new adapter; the other weights are then frozen.
        quantize: "nf4" or "int8" quantises the frozen weights under ``lora``; None leaves them.
        mask_token: The mask token where neither the tokenizer nor config.json says it: a token that the
            tokenizer has, or a new one, whose embedding starts as the mean of all others.
        mask_id: The mask token's id where neither the tokenizer nor config.json says it.
        revision: Of the hub repository.
        gradient_checkpointing: Recompute each layer's activations in the backward pass.
        compile_layers: Compile the decoder layers for sampling: true, false, or "auto" (on a GPU).
        liger: Use the kernels of the package liger-kernel; see :func:`~.kernels.use_liger`.
        seed: Of the weights of a new adapter.

    Raises:
        ConfigError: No such model, not a supported architecture, or its tensors do not fit its config.
    """
    base, adapters = base_of(path)
    revision = revision if base == path else None
    if lora:
        check_lora("model.lora", lora)
    weights = torch_dtype(dtype)
    options = {
        "dtype": weights,
        "attn_implementation": _usable_attention(attn_implementation),
        **quantization_options(quantize, weights, lora),
    }
    with reading(repr(base) + (f", the base model of the adapter in {adapters[0]!r}" if adapters else "")):
        config, published = network_config(base, revision, mask_id)
        tokenizer = tokenizer_of(base, adapters, config, published, revision, mask_token)
        check_model_files(base)
        model, info = _network(base, config, published, revision, options)
    if mask_token or adapters:
        make_room(model, tokenizer, may_grow=published is None)
    if mask_token and published is not None:
        mask: Any = tokenizer.mask_token_id  # declared as whatever transformers may have
        published = published.with_mask(mask)
    check_loaded(path, info, tokenizer, model)
    if liger:
        from .kernels import use_liger

        use_liger(model)
    if adapters:
        from .adapters import apply_frozen

        model = apply_frozen(model, adapters, published.family if published else None)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return _finish(model, tokenizer, lora, seed, compile_layers, published, path)


def _usable_attention(name: str) -> str:
    key = f"model.load.attn_implementation={name}"
    if name not in ATTENTION:
        raise ConfigError(f"{key}: expected {', '.join(ATTENTION[:-1])} or {ATTENTION[-1]}")
    if name == "flash_attention_2" and not is_flash_attn_2_available():
        raise ConfigError(
            f"{key}: the package flash-attn is not installed, or there is no GPU for it; sdpa needs neither"
        )
    return name


def _network(
    base: str,
    config: PreTrainedConfig,
    published: Published | None,
    revision: str | None,
    options: Mapping[str, Any],
) -> tuple[Any, Mapping[str, Any]]:
    """The network with its weights, and transformers' report of what was missing."""
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        base,
        config=config,
        revision=revision,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        key_mapping=dict(published.family.to_stock) or None if published else None,
        ignore_mismatched_sizes=True,  # check_loaded names them
        **options,
    )
    return loaded


def _finish(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    lora: Mapping[str, Any] | None,
    seed: int,
    compile_layers: bool | str,
    published: Published | None = None,
    path: str | None = None,
) -> Policy:
    make_bidirectional(model)
    # So that the generation_config.json of a saved folder agrees with its tokenizer.
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    if lora:
        from .adapters import add_lora

        with _initialised_from(seed):
            model = add_lora(model, **lora)
    source = None if path is None else str(Path(path).absolute()) if Path(path).is_dir() else path
    policy = Policy(model, tokenizer, published=published, source=source)
    policy.compiling = Compiling(compile_layers)
    return policy


@contextmanager
def _initialised_from(seed: int) -> Iterator[None]:
    """transformers and peft draw new weights from the global generator: fork it rather than reseed it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

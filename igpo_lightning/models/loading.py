"""Policies from scratch, from a local folder, or from the hub. Never runs code of a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ..checks import ConfigError
from . import llada
from .policy import Policy


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
    attn_implementation: str = "sdpa",
    lora: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Policy:
    """A policy of the LLaDA architecture with fresh weights.

    Args:
        hidden_size, layers, heads, mlp_size: Widths and depth of the Llama blocks.
        max_length: Longest canvas, in tokens.
        rope_theta: Base of the rotary embedding; LLaDA's is 500,000. With heads of 16 dimensions and
            canvases of 40 tokens that leaves two usable frequencies: take about 100.
        init_std: Standard deviation of the initial weights.
        seed: Of the initial weights; the global generator is left as it was.
    """
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
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation=attn_implementation,
    )
    config.mask_token_id = tokenizer.mask_token_id
    with _initialised_from(seed):
        model = LlamaForCausalLM(config)
    return _finish(model, tokenizer, lora, seed)


def load_policy(
    path: str,
    *,
    dtype: str | torch.dtype = "float32",
    attn_implementation: str = "sdpa",
    lora: Mapping[str, Any] | None = None,
    revision: str | None = None,
    gradient_checkpointing: bool = False,
    seed: int = 0,
) -> Policy:
    """A policy from a Hugging Face folder or hub id (safetensors only, no remote code).

    An adapter folder (``adapter_config.json``) is merged into its base model first. ``seed`` is of the
    weights of new adapters (``lora``).

    Raises:
        ConfigError: No such model, not a supported architecture, or its tensors do not fit its config.
    """
    base, adapter = _base_of(path, revision)
    common = {"revision": revision if base == path else None, "trust_remote_code": False}
    try:
        config, key_mapping = _config_of(base, common)
        tokenizer = AutoTokenizer.from_pretrained(path, config=config, **common)
        model, info = AutoModelForCausalLM.from_pretrained(
            base,
            config=_bidirectional_config(config),
            dtype=getattr(torch, dtype) if isinstance(dtype, str) else dtype,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            key_mapping=key_mapping,
            ignore_mismatched_sizes=True,  # _check_loaded names them
            **common,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"model.path: cannot load {path!r}: {_first_line(error)}") from error
    _check_loaded(path, info, tokenizer, model)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, path, use_safetensors=True).merge_and_unload()
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return _finish(model, tokenizer, lora, seed)


def _base_of(path: str, revision: str | None) -> tuple[str, bool]:
    """The base model's path, and whether ``path`` is an adapter on top of it."""
    folder = Path(path)
    if not (folder / "adapter_config.json").is_file():
        if folder.is_dir() and not (folder / "config.json").is_file():
            raise ConfigError(f"model.path: {path!r} has no config.json; give the folder of a saved model")
        return path, False
    from peft import PeftConfig

    base = PeftConfig.from_pretrained(path, revision=revision).base_model_name_or_path
    if not base:
        raise ConfigError(f"model.path: the adapter in {path!r} does not say which base model it belongs to")
    return base, True


def _config_of(base: str, common: Mapping[str, Any]) -> tuple[PreTrainedConfig, dict[str, str] | None]:
    """The config of ``base``, and how its tensors' names map to the network's (None: as they are)."""
    published, _ = PreTrainedConfig.get_config_dict(base, **common)
    if published.get("model_type") == llada.MODEL_TYPE:
        return llada.llama_config(published), llada.KEY_MAPPING
    return AutoConfig.from_pretrained(base, **common), None


def _bidirectional_config(config: Any) -> Any:
    config.is_causal = False  # read by transformers' mask construction
    return config


def _finish(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, lora: Mapping[str, Any] | None, seed: int
) -> Policy:
    _bidirectional_config(model.config)
    for module in model.modules():
        # Attention backends that get no mask fall back to the module's own flag.
        if hasattr(module, "is_causal"):
            module.is_causal = False
    # So that the generation_config.json of a saved folder agrees with its tokenizer.
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    if lora:
        with _initialised_from(seed):
            model = add_lora(model, **lora)
    return Policy(model, tokenizer)


def add_lora(
    model: PreTrainedModel, *, rank: int, alpha: float, targets: Sequence[str], dropout: float = 0.0
) -> nn.Module:
    """Wrap ``model`` with LoRA adapters (peft) on every linear layer named in ``targets``.

    Raises:
        ConfigError: A target matches no linear layer; the message lists the names there are.
    """
    from peft import LoraConfig, get_peft_model

    names = {name.rsplit(".", 1)[-1] for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    missing = [target for target in targets if target not in names]
    if missing or not targets:
        raise ConfigError(f"model.lora.targets: {missing} match no linear layer; there are {sorted(names)}")
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    return get_peft_model(model, config)


def _check_loaded(path: str, info: Mapping[str, Any], tokenizer: Any, model: PreTrainedModel) -> None:
    wrong = [*info.get("missing_keys", ()), *info.get("mismatched_keys", ())]
    if wrong:
        names = sorted(str(key[0] if isinstance(key, tuple) else key) for key in wrong)
        raise ConfigError(
            f"model.path: the weights in {path!r} do not fit its config.json: {len(names)} tensors are "
            f"missing or of another shape, e.g. {names[0]}; is this a checkpoint of another model?"
        )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        raise ConfigError(
            f"model.path: the tokenizer in {path!r} has {len(tokenizer)} tokens but the model embeds only "
            f"{model.get_input_embeddings().num_embeddings}"
        )


@contextmanager
def _initialised_from(seed: int) -> Iterator[None]:
    """transformers and peft draw new weights from the global generator: fork it rather than reseed it."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

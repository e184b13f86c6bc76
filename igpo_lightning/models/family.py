"""Families of published checkpoints: the names that each has for the tensors of a stock network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from transformers import PreTrainedConfig

from ..checks import ConfigError

_Config = TypeVar("_Config", bound=PreTrainedConfig)

_QWEN = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings"),
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)


@dataclass(frozen=True)
class Family:
    """Checkpoints that are a stock ``*ForCausalLM`` of transformers under other names.

    Attributes:
        model_type: What their config.json says.
        config: Their fields → the stock network's config. Raises ConfigError if the fields describe
            another network.
        to_stock: Patterns of their tensor names → the stock network's; empty if they are the same.
        to_published: The reverse.
        shifted: The logits of position i are read from the hidden state of position i - 1, as in the
            autoregressive model that the weights were first.
        tokenizer_type: transformers' name for the kind of a tokenizer that is published as code; None
            if transformers finds it by itself.
    """

    model_type: str
    config: Callable[[Mapping[str, Any]], PreTrainedConfig]
    to_stock: Mapping[str, str] = field(default_factory=dict)
    to_published: Mapping[str, str] = field(default_factory=dict)
    shifted: bool = False
    tokenizer_type: str | None = None

    def published_name(self, name: str) -> str:
        """The published name of a tensor of the stock network."""
        for pattern, replacement in self.to_published.items():
            renamed, count = re.subn(pattern, replacement, name)
            if count:
                return renamed
        return name


def qwen_config(
    kind: type[_Config], published: Mapping[str, Any], expected: Mapping[str, Any], *own: str
) -> _Config:
    """The config of a stock Qwen network from one that was published with Qwen's names.

    Args:
        kind: Of the network.
        published: config.json.
        expected: As of :func:`expect`.
        *own: Fields that this kind has besides those that all have.

    Raises:
        ConfigError: A field says that the network is not a plain one of its kind.
    """
    expect(published, expected, f"a plain {kind.__name__.removesuffix('Config')}")
    values: dict[str, Any] = {name: published[name] for name in (*_QWEN, *own) if name in published}
    values["rope_parameters"] = {"rope_type": "default", "rope_theta": published["rope_theta"]}
    return kind(**values)


def expect(published: Mapping[str, Any], expected: Mapping[str, Any], network: str) -> None:
    """Refuse a config that says anything else than ``expected``; absent fields pass."""
    for name, value in expected.items():
        if published.get(name, value) != value:
            raise ConfigError(
                f"model.path: config.json says {name}={published[name]}, but only models with "
                f"{name}={value} are {network}"
            )

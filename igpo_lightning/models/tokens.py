"""Mask, stop and padding ids of a policy, from its tokenizer and config."""

from __future__ import annotations

from typing import Any

import torch
from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..checks import ConfigError

_ANSWER = "ANSWER"


def special_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    """The id of the tokenizer's, or else of the config's, ``name`` token ("mask", "eos").

    Raises:
        ConfigError: Neither defines one, or the model has no such id.
    """
    value = getattr(tokenizer, f"{name}_token_id")
    if value is None:
        value = getattr(model.config, f"{name}_token_id", None)
    if value is None:
        hint = "; model.load.mask_id says it, model.load.mask_token adds one" if name == "mask" else ""
        raise ConfigError(
            f"model.path: neither the tokenizer nor config.json of {model.config.name_or_path!r} defines "
            f"{name}_token_id; a masked diffusion policy needs it{hint}"
        )
    size: Any = model.get_input_embeddings().num_embeddings
    if not 0 <= value < size:
        key = "model.load.mask_id" if name == "mask" else "model.path"
        raise ConfigError(f"{key}: {name}_token_id is {value}; the model has ids from 0 to {size - 1:,}")
    return int(value)


def stop_ids(tokenizer: PreTrainedTokenizerBase, eos_id: int) -> tuple[int, ...]:
    """Ids that end a completion: the chat template's end of an assistant turn, if it has one, and eos.

    The end is found by rendering a conversation: it is the special token right after the assistant's
    text (LLaDA's ``<|eot_id|>``, Dream's ``<|im_end|>``).
    """
    if not tokenizer.chat_template:
        return (eos_id,)
    turns = [{"role": "user", "content": "QUESTION"}, {"role": "assistant", "content": _ANSWER}]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except (TemplateError, TypeError, ValueError):  # a template for prompts only
        return (eos_id,)
    _, found, rest = text.rpartition(_ANSWER)
    special = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = tokenizer(rest, add_special_tokens=False).input_ids if found else []
    for token in ids:
        if token in special:
            return (token,) if token == eos_id else (token, eos_id)
        if str(tokenizer.decode([token])).strip():
            break  # the turn ends in plain text
    return (eos_id,)


def add_mask_token(tokenizer: PreTrainedTokenizerBase, mask_token: str | None) -> None:
    """Give a tokenizer without a mask token this one: a token it has, or a new one."""
    if mask_token is not None and tokenizer.mask_token is None:
        tokenizer.add_special_tokens({"mask_token": mask_token})


@torch.no_grad()
def make_room(model: Any, tokenizer: Any, may_grow: bool = True) -> None:
    """Add embeddings for a mask token that the model has none for: the mean of all others.

    The mean needs no draw, so an adapter that was trained on it finds the same vector again.

    Raises:
        ConfigError: The model may not grow: it is written back in its authors' layout, tokenizer included.
    """
    size = model.get_input_embeddings().num_embeddings
    mask = tokenizer.mask_token_id
    if mask is None or mask < size or mask != len(tokenizer) - 1:
        return
    if not may_grow:
        raise ConfigError(
            f"model.load.mask_token={tokenizer.mask_token}: a model in its authors' layout gets no new "
            "token; name one that its tokenizer has, or give its id as model.load.mask_id"
        )
    model.resize_token_embeddings(mask + 1, mean_resizing=False)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        layer.weight[size:] = layer.weight[:size].float().mean(0).to(layer.weight.dtype)

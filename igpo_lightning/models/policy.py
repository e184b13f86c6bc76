"""The masked diffusion policy: a Hugging Face decoder made bidirectional, and its frozen reference."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..checks import ConfigError


class Policy(nn.Module):
    """Weights in, logits out.

    The network is a stock ``*ForCausalLM`` of transformers whose attention is bidirectional: that is
    what LLaDA is, so every size shares this one class.

    Args:
        model: A causal-LM class with ``.model`` (backbone) and ``.lm_head``, or a peft model of one.
        tokenizer: Its tokenizer; must define mask, eos and pad tokens.

    Attributes:
        mask_id, eos_id, pad_id: Special token ids.
        stop_ids: Ids that end a completion; the first one ends its text and its loss.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase):
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.mask_id = _special_id(model, tokenizer, "mask")
        self.eos_id = _special_id(model, tokenizer, "eos")
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self.eos_id
        self.stop_ids: tuple[int, ...] = (self.eos_id,)
        # Kept out of the module tree on purpose: a frozen copy belongs neither to the checkpoint
        # nor to the optimiser, and is made again from the starting weights on resume.
        self._frozen: list[PreTrainedModel] = []
        self.keeps_reference = False

    @property
    def network(self) -> PreTrainedModel:
        """The ``*ForCausalLM`` itself, with adapters injected if there are any."""
        return self.model.get_base_model() if self.has_adapters else self.model

    @property
    def has_adapters(self) -> bool:
        return hasattr(self.model, "peft_config")

    def forward(
        self, tokens: Tensor, attention: Tensor | None = None, positions: Tensor | None = None
    ) -> Tensor:
        """Logits of a canvas.

        Args:
            tokens: [B, L] ids; mask ids where the canvas is empty.
            attention: [B, L] bool, False on padding; None when nothing is padded (faster).
            positions: [B, L] bool; only these reach the output head. None means all of them.

        Returns:
            [B, L, V], or [N, V] in row-major order of the N positions asked for.
        """
        network = self.network
        position_ids = None
        if attention is not None:
            # Count real tokens only, so that left padding leaves the rotary angles untouched.
            position_ids = (attention.long().cumsum(-1) - 1).clamp(min=0)
        hidden = network.model(
            input_ids=tokens, attention_mask=attention, position_ids=position_ids, use_cache=False
        ).last_hidden_state
        return network.lm_head(hidden if positions is None else hidden[positions])

    def disable_dropout(self) -> None:
        """Set every dropout to 0.

        The importance ratio compares two passes over the same tokens; dropout in either of them
        makes it differ from 1 before anything was learnt. (Switching to eval mode instead would
        also switch off activation checkpointing.)
        """
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0

    def keep_reference(self) -> None:
        """Remember the present weights as the KL reference. Free with adapters: the base is it."""
        self.keeps_reference = True
        if not self.has_adapters and not self._frozen:
            self._frozen.append(copy.deepcopy(self.model).requires_grad_(False).eval())

    @contextmanager
    def reference(self) -> Iterator[Policy]:
        """Within this context the policy computes with the reference weights."""
        if not self.keeps_reference:
            raise RuntimeError("keep_reference() must be called before reference()")
        if self.has_adapters:
            with self.model.disable_adapter():
                yield self
            return
        current = self.model
        try:
            self.model = self._frozen[0].to(current.device)
            yield self
        finally:
            self.model = current

    def save(self, folder: str | Path, state_dict: dict[str, Tensor] | None = None) -> None:
        """Write an ordinary Hugging Face folder (safetensors); with LoRA, an adapter folder."""
        self.model.save_pretrained(folder, state_dict=state_dict)
        self.tokenizer.save_pretrained(folder)


def _special_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    value = getattr(tokenizer, f"{name}_token_id")
    if value is None:
        value = getattr(model.config, f"{name}_token_id", None)
    if value is None:
        raise ConfigError(
            f"model.path: neither the tokenizer nor config.json of {model.config.name_or_path!r} defines "
            f"{name}_token_id; a masked diffusion policy needs it"
        )
    return int(value)

"""The masked diffusion policy: a Hugging Face decoder made bidirectional, and its frozen reference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..checks import ConfigError
from .attention import blocks_of
from .casting import cast, exact_buffers
from .compiling import Compiling
from .head import TokenScores, chunked_scores
from .kv_cache import CanvasCache, cache_argument
from .moving import MovingReference
from .published import Published
from .tokens import special_id, stop_ids


class Policy(nn.Module):
    """A network with its tokenizer: canvases of ids in, logits or token scores out.

    The network is a stock ``*ForCausalLM`` of transformers whose attention is bidirectional: that is
    what LLaDA and Dream are, so every size and family shares this one class.

    Args:
        model: A causal-LM class with ``.model`` (backbone) and ``.lm_head``, or a peft model of one.
        tokenizer: Its tokenizer; must define mask, eos and pad tokens.
        published: The layout it came in, if not transformers' own.
        source: Where it was loaded from; what an adapter that is saved names as its base.

    Attributes:
        mask_id, eos_id, pad_id: Special token ids. ``eos_id`` also fills a completion up after its end.
        compiling: Whether its layers are compiled for sampling.
        moving: The reference, if it is one that moves.
        attention: Which columns see which, where not all see all.
        stop_ids: Ids that end a completion: the chat template's end of a turn, and eos.
        end_id: The first of them: what a target ends in.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        published: Published | None = None,
        source: str | None = None,
    ):
        super().__init__()
        self.model: Any = model  # transformers and peft type little of what their networks have
        self.tokenizer = tokenizer
        self.published, self.source = published, source
        self.shifted = published is not None and published.family.shifted
        self.mask_id = special_id(model, tokenizer, "mask")
        self.eos_id = special_id(model, tokenizer, "eos")
        pad: Any = tokenizer.pad_token_id
        self.pad_id: int = self.eos_id if pad is None else pad
        self.stop_ids = stop_ids(tokenizer, self.eos_id)
        # Kept out of the module tree on purpose: a frozen copy belongs neither to the checkpoint
        # nor to the optimiser, and is made again from the starting weights on resume.
        self._frozen: list[Any] = []
        self.moving: MovingReference | None = None
        self.compiling = Compiling(False)
        self.keeps_reference = False
        self.attention = blocks_of(model.config)

    @property
    def end_id(self) -> int:
        return self.stop_ids[0]

    @property
    def network(self) -> Any:
        """The ``*ForCausalLM`` itself, with adapters injected if there are any."""
        return self.model.get_base_model() if self.has_adapters else self.model

    @property
    def has_adapters(self) -> bool:
        return hasattr(self.model, "peft_config")

    def forward(
        self,
        tokens: Tensor,
        attention: Tensor | None = None,
        positions: Tensor | None = None,
        targets: Tensor | None = None,
        entropy: bool = False,
    ) -> Tensor | TokenScores:
        """Logits of a canvas, or the scores of given tokens.

        Args:
            tokens: [B, L] ids; mask ids where the canvas is empty.
            attention: [B, L] bool, False on padding; None when nothing is padded (faster).
            positions: [B, L] bool; only these reach the output head. None means all of them.
            targets: [N] or [N, K] ids, for each of the N positions in row-major order.
            entropy: Whether scores hold entropies.

        Returns:
            Without targets, logits: [B, L, V], or [N, V] of the N positions asked for. With targets,
            their TokenScores; logits then exist for a bounded number of positions at a time.
        """
        hidden = self.hidden(tokens, attention)
        if self.shifted:
            hidden = _from_the_left(hidden, attention)
        if positions is not None:
            hidden = hidden[positions]
        head = self.network.lm_head
        if targets is None:
            return head(hidden)
        return chunked_scores(head, hidden.flatten(0, -2), targets, entropy)

    def hidden(
        self,
        tokens: Tensor,
        attention: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: CanvasCache | None = None,
    ) -> Tensor:
        """[B, L, H] last hidden states, not shifted.

        Args:
            tokens: [B, L] ids; with a ``cache`` of which columns are renewed, [B, W] of those.
            attention: [B, L] bool, False on padding; with a cache [B, 1, 1 or W, L]. None: nothing is padded.
            position_ids: [B, L] or [B, W] int64; by default real tokens are counted.
            cache: Keys and values of all L columns; it is changed.
        """
        if position_ids is None and attention is not None:
            position_ids = positions_of(attention)
        if self.attention is not None and cache is None:
            attention = self.attention.mask(attention, tokens.shape[1], tokens.device)
        return self.network.model(
            input_ids=tokens,
            attention_mask=attention,
            position_ids=position_ids,
            use_cache=False,
            **({} if cache is None else {cache_argument(type(self.network.model)): cache}),
        ).last_hidden_state

    @property
    def sharded(self) -> bool:
        """True if its weights are split over processes (ZeRO-3, FSDP2), which then call it equally often."""
        return any(hasattr(p, "ds_id") or hasattr(p, "placements") for p in self.parameters())

    @contextmanager
    def sampling(self, compiled: bool = True) -> Iterator[None]:
        """Within this context the network is in eval mode, and its layers are compiled if that was asked for.

        Activation checkpointing would drop a cache in training mode. Log-probabilities are computed outside,
        so that those of before and within an update come from the same kernels.

        Args:
            compiled: Whether layers may be compiled.
        """
        training = self.training
        self.eval()
        with self.compiling.layers(self) if compiled else nullcontext():
            try:
                yield
            finally:
                self.train(training)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Policy:
        # What to(), bfloat16(), double() and the like do, of this module and of any that holds it.
        with exact_buffers(self):
            return super()._apply(fn, recurse)

    def disable_dropout(self) -> None:
        """Set every dropout to 0.

        The importance ratio compares two passes over the same tokens; dropout in either of them
        makes it differ from 1 before anything was learnt. (Switching to eval mode instead would
        also switch off activation checkpointing.)
        """
        modules: list[Any] = list(self.modules())
        for module in modules:
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.0

    def keep_reference(self, moves: bool = False) -> None:
        """Remember the present weights as the reference.

        Free with adapters, if it never ``moves``: the base is it.
        """
        self.keeps_reference = True
        if moves:
            self.moving = self.moving or MovingReference(self.model)
        elif not self.has_adapters and not self._frozen:
            self._frozen.append(copy.deepcopy(self.model).requires_grad_(False).eval())

    @contextmanager
    def reference(self) -> Iterator[Policy]:
        """Within this context the policy computes with the reference weights."""
        if not self.keeps_reference:
            raise RuntimeError("keep_reference() must be called before reference()")
        if self.moving is not None:
            with self.moving.in_place(self.model):
                yield self
            return
        if self.has_adapters:
            from .adapters import without_trained

            with without_trained(self.model):
                yield self
            return
        current = self.model
        try:
            # What is trained is cast, by us or by a strategy: the two must at first be the same numbers.
            self.model = cast(self._frozen[0], current.device, current.dtype)
            yield self
        finally:
            self.model = current

    def save(
        self,
        folder: str | Path,
        merge: bool = False,
        max_shard_size: str = "5GB",
        state_dict: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write a folder of safetensors, in the layout that the weights came in.

        An adapter trained on a saved model is written alone, and names that model.

        Args:
            folder: Made if there is none.
            merge: Write a whole model even so, with the adapters added to its weights. Weights in
                bfloat16 round small updates away: load in float32 to keep them.
            max_shard_size: Of one weight file.
            state_dict: The weights of ``self.model``, if they had to be gathered from several processes.

        Raises:
            ConfigError: A whole model is asked for, but its weights are quantised.
        """
        if self.has_adapters and not merge and self.source is not None:
            from . import adapters

            if adapters.is_trained(self.model):
                adapters.save(self.model, folder, self.source, state_dict)
                self.tokenizer.save_pretrained(folder)
                return
        state = self._state(state_dict)
        if self.published is not None:
            self.published.write(state, folder, max_shard_size)
        else:
            self.network.save_pretrained(folder, state_dict=state, max_shard_size=max_shard_size)
            self.tokenizer.save_pretrained(folder)

    def _state(self, gathered: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """All tensors of the network, adapters added; tied ones once."""
        if not self.has_adapters:
            state = dict(gathered) if gathered is not None else self.network.state_dict()
        elif getattr(self.network, "is_quantized", False):
            raise ConfigError(
                "merge: adapters can't be added to quantised weights; save the adapter, load it without "
                "quantize, and merge that"
            )
        else:
            from .adapters import merged_state

            state = merged_state(self.model)
        if self.network.config.tie_word_embeddings:
            state.pop("lm_head.weight")
        return state


def positions_of(attention: Tensor) -> Tensor:
    """[B, L] int64: real tokens before each column: left padding leaves the rotary angles untouched."""
    return (attention.long().cumsum(-1) - 1).clamp(min=0)


def _from_the_left(hidden: Tensor, attention: Tensor | None) -> Tensor:
    """[B, L, H] with each position's left neighbour; a row's first real position keeps its own."""
    shifted = torch.cat([hidden[:, :1], hidden[:, :-1]], dim=1)
    if attention is None:
        return shifted
    first = attention & (attention.cumsum(-1) == 1)
    return torch.where(first[..., None], hidden, shifted)

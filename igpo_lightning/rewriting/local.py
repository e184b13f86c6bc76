"""A writer on this machine: any causal language model of transformers, asked in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from igpo_lightning.asking import TRUNCATED, Ask, Reply, Unanswered
from igpo_lightning.checks import ConfigError, model_source, positive_int
from igpo_lightning.seeding import torch_rng

_TINY = 1e-30


@dataclass
class LocalWriter:
    """Generates with ``transformers``. No code of the checkpoint is run.

    Draws depend on (seed, problem, attempt) only, not on which asks share a batch.

    Raises:
        ConfigError: A value makes no sense.
    """

    model: str  # folder or hub id, safetensors
    temperature: float = 0.0  # 0 takes the most likely token
    max_tokens: int = 1024  # where an answer is cut off
    batch_size: int = 8  # asks per forward pass
    dtype: str = "bfloat16"
    device: str | None = None  # transformers' device_map; null takes the accelerator if there is one
    seed: int = 0  # of the draws

    def __post_init__(self) -> None:
        model_source("rewriter.model", self.model)
        positive_int("rewriter.max_tokens", self.max_tokens)
        self.concurrency = 2 * positive_int("rewriter.batch_size", self.batch_size)  # the next batch is there
        names = ("model", "temperature", "max_tokens", "dtype", "seed")
        self.settings = {f"rewriter.{name}": getattr(self, name) for name in names}
        self._waiting: dict[Ask, list[int]] = {}  # tokens of each
        self._replies: dict[Ask, Reply] = {}
        self._lock = asyncio.Lock()  # one batch at a time
        self._closed = False

    def prepare(self) -> None:
        device = self.device or (torch.accelerator.current_accelerator() or torch.device("cpu")).type
        options = {"device_map": device, "use_safetensors": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                self.model, padding_side="left", trust_remote_code=False
            )
            self._network: Any = AutoModelForCausalLM.from_pretrained(
                self.model, dtype=getattr(torch, self.dtype), **options
            ).eval()
        except (OSError, ValueError, RuntimeError, AttributeError, ImportError) as error:
            said = str(error).strip().splitlines()[:1]
            raise ConfigError(f"rewriter.model: cannot load {self.model!r}: {''.join(said)}") from error
        ends = self._network.generation_config.eos_token_id
        ends = [*(ends if isinstance(ends, list) else [ends]), self._tokenizer.eos_token_id]
        self._ends = sorted({end for end in ends if end is not None})
        if not self._ends:
            raise ConfigError(f"rewriter.model={self.model}: neither model nor tokenizer has an end token")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = self._ends[0]

    async def turn(self, ask: Ask) -> None:
        return

    async def write(self, ask: Ask) -> Reply:
        """The reply to ``ask``, of a batch that whoever comes first generates for all who wait."""
        prompt = self._encoded(ask)
        context = getattr(self._network.config, "max_position_embeddings", None) or float("inf")
        if len(prompt) + self.max_tokens > context:
            raise Unanswered(
                f"the request has {len(prompt)} tokens, and with rewriter.max_tokens={self.max_tokens} "
                f"exceeds the model's context of {context}"
            )
        self._waiting[ask] = prompt
        await asyncio.sleep(0.02)  # asks of one moment share a batch
        async with self._lock:
            if ask in self._waiting:
                asks = list(islice(self._waiting, self.batch_size))
                prompts = [self._waiting.pop(ask) for ask in asks]
                replies = await asyncio.to_thread(self._generate, asks, prompts)
                self._replies |= zip(asks, replies, strict=True)
        return self._replies.pop(ask)

    async def close(self) -> None:
        self._closed = True  # a batch that is being generated ends with its next token

    def _encoded(self, ask: Ask) -> list[int]:
        if not self._tokenizer.chat_template:
            text = "\n\n".join(filter(None, (ask.system, ask.user))) + "\n\n"
            return self._tokenizer(text)["input_ids"]
        try:
            return self._tokenizer.apply_chat_template(
                ask.messages, add_generation_prompt=True, return_dict=False
            )
        except Exception as error:  # templates are programs: whatever theirs raises
            raise ConfigError(
                f"rewriter.model={self.model}: its chat template refuses the request ({error}); "
                "if it knows no system role, say rules.system=null"
            ) from error

    @torch.inference_mode()
    def _generate(self, asks: Sequence[Ask], prompts: Sequence[list[int]]) -> list[Reply]:
        inputs = self._tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self._network.device)
        noise = []
        if self.temperature > 0:
            device = self._network.device
            rngs = [torch_rng(self.seed, "rewrite", ask.id, ask.attempt, device=device) for ask in asks]
            noise = [partial(with_noise, rngs=rngs, temperature=self.temperature)]
        config = GenerationConfig(
            max_new_tokens=self.max_tokens,
            do_sample=False,  # sampling is greedy decoding with noise, so that no global generator is used
            eos_token_id=self._ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        rows = self._network.generate(
            **inputs,
            generation_config=config,
            logits_processor=noise,
            stopping_criteria=[
                lambda tokens, _: torch.full_like(tokens[:, 0], self._closed, dtype=torch.bool)
            ],
        )
        written = rows[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._reply(ids, len(prompt)) for ids, prompt in zip(written, prompts, strict=True)]

    def _reply(self, ids: list[int], prompt_tokens: int) -> Reply:
        end = next((i for i, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=False)
        if end is None:
            return Reply(text, TRUNCATED, prompt_tokens, len(ids))
        return Reply(text, "stop", prompt_tokens, end + 1)


def with_noise(
    tokens: Tensor, scores: Tensor, *, rngs: Sequence[torch.Generator], temperature: float
) -> Tensor:
    """A logits processor: ``scores`` [B, V] such that the argmax of each row is a draw at ``temperature``.

    Gumbel noise -log(E), E ~ Exp(1) from the row's own generator, is added to ``scores / temperature``.
    """
    waits = [torch.empty_like(scores[0], dtype=torch.float32).exponential_(generator=rng) for rng in rngs]
    return scores.float() / temperature - torch.stack(waits).clamp_min(_TINY).log()

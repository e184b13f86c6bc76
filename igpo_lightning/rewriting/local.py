"""A writer on this machine: any causal language model of transformers, asked in batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from igpo_lightning.checks import ConfigError, model_source, positive_int
from igpo_lightning.rewriting.writer import TRUNCATED, Ask, Reply, Unanswered
from igpo_lightning.seeding import derive, torch_rng

_TINY = 1e-30


class LocalWriter:
    """Generates with ``transformers``. No code of the checkpoint is run.

    Draws depend on (seed, problem, attempt) only, not on which asks share a batch.

    Args:
        model: Folder or hub id, safetensors.
        temperature: 0 takes the most likely token.
        max_tokens: Where an answer is cut off.
        batch_size: Asks per forward pass.
        dtype: Name of a torch dtype.
        device: As transformers' ``device_map``: "cpu", "cuda:0", or "auto" to spread over all GPUs; null
            takes the accelerator if there is one.
        seed: Of the draws.

    Raises:
        ConfigError: A value makes no sense.
    """

    def __init__(
        self,
        model: str,
        temperature: float = 0.0,
        max_tokens: int = 1024,
        batch_size: int = 8,
        dtype: str = "bfloat16",
        device: str | None = None,
        seed: int = 0,
    ) -> None:
        self.model = model_source("rewriter.model", model)
        self.temperature, self.seed = temperature, seed
        self.max_tokens = positive_int("rewriter.max_tokens", max_tokens)
        self.batch_size = positive_int("rewriter.batch_size", batch_size)
        self.dtype, self.device = dtype, device
        self.concurrency = 2 * batch_size  # the next batch is there when one is done
        self._waiting: list[tuple[Ask, asyncio.Future[Reply]]] = []
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def settings(self) -> Mapping[str, Any]:
        names = ("model", "temperature", "max_tokens", "dtype", "seed")
        return {f"rewriter.{name}": getattr(self, name) for name in names}

    def prepare(self) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        device = self.device or (torch.accelerator.current_accelerator() or torch.device("cpu")).type
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                self.model, padding_side="left", trust_remote_code=False
            )
            self._network = AutoModelForCausalLM.from_pretrained(
                self.model,
                dtype=getattr(torch, self.dtype),
                device_map=device,
                use_safetensors=True,
                trust_remote_code=False,
            ).eval()
        except (OSError, ValueError, RuntimeError, AttributeError, ImportError) as error:
            said = str(error).strip().splitlines()[:1]
            raise ConfigError(f"rewriter.model: cannot load {self.model!r}: {''.join(said)}") from error
        ends = self._network.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = sorted({end for end in (*ends, self._tokenizer.eos_token_id) if end is not None})
        if not self._ends:
            raise ConfigError(f"rewriter.model={self.model}: neither model nor tokenizer has an end token")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token_id = self._ends[0]

    async def turn(self, ask: Ask) -> None:
        return

    async def write(self, ask: Ask) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((ask, future))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        return await future

    async def close(self) -> None:
        self._closed = True  # a batch that is being generated ends with its next token
        self._waiting.clear()
        if self._serving is not None:
            await self._serving

    async def _serve(self) -> None:
        while self._waiting:
            await asyncio.sleep(0.02)  # asks of one moment share a batch
            batch, self._waiting = self._waiting[: self.batch_size], self._waiting[self.batch_size :]
            try:
                replies: Sequence[Reply | Exception]
                replies = await asyncio.to_thread(self._answer, [ask for ask, _ in batch])
            except Exception as error:  # of the whole batch, such as no memory
                replies = [error] * len(batch)
            for (_, future), reply in zip(batch, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, Exception):
                    future.set_exception(reply)
                else:
                    future.set_result(reply)

    def _answer(self, asks: Sequence[Ask]) -> list[Reply | Exception]:
        """A reply to each ask; the ones that don't fit the model's context are refused."""
        prompts = [self._prompt(ask) for ask in asks]
        ids = [self._tokenizer(text, add_special_tokens=special)["input_ids"] for text, special in prompts]
        context = getattr(self._network.config, "max_position_embeddings", None) or float("inf")
        replies: dict[int, Reply | Exception] = {}
        for i, prompt in enumerate(ids):
            if len(prompt) + self.max_tokens > context:
                replies[i] = Unanswered(
                    f"the request has {len(prompt)} tokens, and with rewriter.max_tokens={self.max_tokens} "
                    f"exceeds the model's context of {context}"
                )
        fitting = [i for i in range(len(asks)) if i not in replies]
        if fitting:
            generated = self._generate([ids[i] for i in fitting], [asks[i] for i in fitting])
            replies |= dict(zip(fitting, generated, strict=True))
        return [replies[i] for i in range(len(asks))]

    def _prompt(self, ask: Ask) -> tuple[str, bool]:
        """The text, and whether the tokenizer is to add special tokens (a template writes its own)."""
        if not self._tokenizer.chat_template:
            return "\n\n".join(filter(None, (ask.system, ask.user))) + "\n\n", True
        try:
            text = self._tokenizer.apply_chat_template(
                ask.messages, add_generation_prompt=True, tokenize=False
            )
        except Exception as error:  # templates are programs: whatever theirs raises
            raise ConfigError(
                f"rewriter.model={self.model}: its chat template refuses the request ({error}); "
                "if it knows no system role, say rules.system=null"
            ) from error
        return text, False

    def _generate(self, prompts: Sequence[list[int]], asks: Sequence[Ask]) -> list[Reply]:
        import torch
        from transformers import GenerationConfig

        inputs = self._tokenizer.pad({"input_ids": list(prompts)}, return_tensors="pt")
        inputs = inputs.to(self._network.device)
        seeds = [derive(self.seed, "rewrite", ask.id, ask.attempt) for ask in asks]
        noise = [GumbelNoise(seeds, self.temperature, self._network.device)] if self.temperature > 0 else []
        config = GenerationConfig(
            max_new_tokens=self.max_tokens,
            do_sample=False,  # sampling is greedy decoding with noise, so that no global generator is used
            eos_token_id=self._ends,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        with torch.inference_mode():
            rows = self._network.generate(
                **inputs,
                generation_config=config,
                logits_processor=noise,
                stopping_criteria=[self._stop_when_closed],
            )
        width = inputs["input_ids"].shape[1]
        return [
            self._reply(row[width:].tolist(), len(prompt)) for row, prompt in zip(rows, prompts, strict=True)
        ]

    def _stop_when_closed(self, tokens: Any, scores: Any, **kwargs: Any) -> Any:
        import torch

        return torch.full((tokens.shape[0],), self._closed, dtype=torch.bool, device=tokens.device)

    def _reply(self, ids: list[int], prompt_tokens: int) -> Reply:
        end = next((i for i, token in enumerate(ids) if token in self._ends), None)
        written = ids if end is None else ids[:end]
        return Reply(
            text=self._tokenizer.decode(written, skip_special_tokens=False),
            finish=TRUNCATED if end is None else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(written) + (end is not None),
        )


class GumbelNoise:
    """A logits processor: the argmax of its output is a draw at ``temperature``, per row by a seed."""

    def __init__(self, seeds: Sequence[int], temperature: float, device: Any) -> None:
        self.temperature = temperature
        self._generators = [torch_rng(seed, "gumbel", device=device) for seed in seeds]

    def __call__(self, tokens: Any, scores: Any) -> Any:
        """``scores`` [B, V] divided by the temperature, with Gumbel noise -log(E), E ~ Exp(1), added."""
        import torch

        waits = [
            torch.empty(scores.shape[1], dtype=torch.float32, device=scores.device).exponential_(
                generator=generator
            )
            for generator in self._generators
        ]
        return scores.float() / self.temperature - torch.stack(waits).clamp_min(_TINY).log()

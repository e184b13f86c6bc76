"""A model of lm-evaluation-harness (``pip install lm-eval``; its ``[math]`` extra needs another antlr).

The harness finds models of its own only, so start it through this module; every argument is its own::

    python -m igpo_lightning.evaluation.lm_eval run --model igpo_lightning --tasks gsm8k \\
        --model_args path=RUN/model,length=256,steps=128,block_length=32

From Python, call :func:`register` first.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from igpo_lightning.checks import ConfigError, positive_int
from igpo_lightning.evaluation.decoding import complete
from igpo_lightning.evaluation.likelihood import is_greedy, log_likelihood
from igpo_lightning.evaluation.plan import Task, batches_of
from igpo_lightning.models import load_policy
from igpo_lightning.sampling import BlockwiseSampler
from igpo_lightning.seeding import derive
from igpo_lightning.types import Problem, Prompt

try:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import TemplateLM
    from lm_eval.api.registry import model_registry
    from lm_eval.models.utils import normalize_gen_kwargs
except ImportError as missing:
    if __name__ != "__main__":
        raise
    sys.exit(f"error: it needs the package {missing.name!r}: pip install 'igpo-lightning[lm-eval]'")

NAME = "igpo_lightning"
_KNOWN = {"until", "do_sample", "temperature", "max_gen_toks"}
_WITHOUT_MEANING_IF_GREEDY = {"top_p", "top_k", "min_p"}


def register() -> None:
    """Tell the harness of the model ``igpo_lightning``."""
    if NAME not in model_registry:
        model_registry.register(NAME, target=f"{__spec__.name}:DiffusionLM")


class DiffusionLM(TemplateLM):
    """A masked diffusion model that completes canvases and estimates likelihoods.

    A request comes out the same whatever it is batched with, up to the rounding of the hardware.

    Args:
        path: Folder or hub id of the model.
        length, block_length, steps: Of the canvas; a task's ``max_gen_toks`` can only shorten the text.
            The temperature is the task's, or that of ``--gen_kwargs``.
        mc_samples: Draws per likelihood (see :func:`log_likelihood`).
        batch_size: Canvases of one model call.
        dtype: "auto" is bfloat16 on a GPU and float32 elsewhere.
        device: Where to compute; by default the first GPU, or the CPU without one.
        seed: Of all draws.
        revision: Of a hub id.

    Raises:
        ConfigError: An argument is wrong, or several processes were started.
    """

    def __init__(
        self,
        path: str,
        *,
        length: int = 256,
        block_length: int = 32,
        steps: int = 128,
        mc_samples: int = 128,
        batch_size: int | str = 32,
        max_batch_size: int | None = None,
        dtype: str = "auto",
        device: str | None = None,
        seed: int = 0,
        revision: str | None = None,
    ) -> None:
        super().__init__()
        _one_process()
        self._device = _device(device)
        if dtype == "auto":
            dtype = "float32" if self._device.type == "cpu" else "bfloat16"
        self.sampler = BlockwiseSampler(length, block_length, steps)
        self.mc_samples = positive_int("mc_samples", mc_samples)
        self.batch_size = positive_int("batch_size", _whole(batch_size))
        self.seed, self.path = seed, path
        self.policy = load_policy(path, dtype=dtype, revision=revision).to(self._device).eval()
        self.tokenizer = self.policy.tokenizer

    @property
    def eot_token_id(self) -> int:
        return self.policy.eos_id

    @property
    def prefix_token_id(self) -> int:
        """Id that stands before a text without context: the start token, else the end token."""
        start: Any = self.tokenizer.bos_token_id
        return self.eot_token_id if start is None else start

    @property
    def tokenizer_name(self) -> str:
        return self.path.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.tokenizer.encode(string, add_special_tokens=bool(add_special_tokens))

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        if not self.tokenizer.chat_template:
            raise ConfigError(f"{self.path}: its tokenizer has no chat template; omit --apply_chat_template")
        text = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return str(text)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Complete contexts; each text ends before the first of its stop strings."""
        settings = [self._settings(request.args[1]) for request in requests]
        samplers = {str(temperature): self._sampler(temperature) for temperature, _, _ in settings}
        tasks: dict[str, list[Task]] = {name: [] for name in samplers}
        for task, (temperature, _, _) in zip(self._tasks(requests), settings, strict=True):
            tasks[str(temperature)].append(task)
        texts = [""] * len(requests)
        with tqdm(total=len(requests), disable=disable_tqdm, desc="completions") as bar:
            for batch in batches_of(tasks, self.batch_size):
                prompts = [task.prompt for task in batch.tasks]
                seeds = [task.seed for task in batch.tasks]
                done = complete(self.policy, samplers[batch.benchmark], prompts, seeds)
                for prompt, text in zip(prompts, done.texts, strict=True):
                    index = int(prompt.problem.id)
                    _, until, limit = settings[index]
                    texts[index] = self._cut(text, until, limit)
                    self.cache_hook.add_partial("generate_until", requests[index].args, texts[index])
                bar.update(len(prompts))
        return texts

    def _loglikelihood_tokens(
        self,
        requests: Sequence[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        **kwargs: Any,
    ) -> list[tuple[float, bool]]:
        answers = []
        for texts, context, continuation in tqdm(requests, disable=disable_tqdm, desc="likelihoods"):
            nats = log_likelihood(
                self.policy,
                context,
                continuation,
                samples=self.mc_samples,
                batch_size=self.batch_size,
                seed=derive(self.seed, "lm_eval", texts[0]),
            )
            answers.append((nats, is_greedy(self.policy, context, continuation)))
            self.cache_hook.add_partial("loglikelihood", texts, answers[-1])
        return answers

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        raise ConfigError(
            "loglikelihood_rolling (perplexity of whole documents) is not defined for a masked diffusion "
            "model; choose tasks of type generate_until, loglikelihood or multiple_choice"
        )

    def _tasks(self, requests: Sequence[Instance]) -> list[Task]:
        """The requests as completions to make; the same context asked again is another sample."""
        seen: Counter[str] = Counter()
        tasks = []
        for index, request in enumerate(requests):
            context = request.args[0]
            ids = tuple(self.tok_encode(context)) or (self.prefix_token_id,)
            seed = derive(self.seed, "lm_eval", context, seen[context])
            tasks.append(Task(Prompt(Problem(str(index), context, "", ""), ids), 0, seed))
            seen[context] += 1
        return tasks

    def _settings(self, given: dict[str, Any]) -> tuple[float, list[str], int]:
        """(temperature, stop strings, most tokens) of a request."""
        usual = normalize_gen_kwargs(given, default_max_gen_toks=self.sampler.length)
        known = _KNOWN if usual["temperature"] else _KNOWN | _WITHOUT_MEANING_IF_GREEDY
        if unknown := sorted(set(usual) - known):
            raise ConfigError(f"gen_kwargs: {', '.join(unknown)} not supported; known: {sorted(_KNOWN)}")
        return float(usual["temperature"]), list(usual["until"]), int(usual["max_gen_toks"])

    def _sampler(self, temperature: float) -> BlockwiseSampler:
        canvas = self.sampler
        return BlockwiseSampler(canvas.length, canvas.block_length, canvas.steps, temperature)

    def _cut(self, text: str, until: Sequence[str], limit: int) -> str:
        """``text`` up to its first stop string, and at most ``limit`` tokens of it."""
        if limit < self.sampler.length:
            text = str(self.tokenizer.decode(self.tok_encode(text)[:limit]))
        ends = [text.find(stop) for stop in until if stop]
        return text[: min((end for end in ends if end >= 0), default=len(text))]


def _whole(value: int | str) -> int | str:
    """Numbers of the command line arrive as text."""
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _device(asked: str | None) -> torch.device:
    """The harness asks for "cuda:0" unless it is told otherwise, be there one or not."""
    if asked is not None and not asked.startswith("cuda"):
        return torch.device(asked)
    return torch.device((asked or "cuda") if torch.cuda.is_available() else "cpu")


def _one_process() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "the lm-evaluation-harness model runs in one process; for several GPUs use "
            "python -m igpo_lightning.evaluate hardware=ddp, or start one process per task"
        )


def main() -> None:
    """The harness's own command line, with the model registered."""
    from lm_eval.__main__ import cli_evaluate

    register()
    try:
        cli_evaluate()
    except ConfigError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

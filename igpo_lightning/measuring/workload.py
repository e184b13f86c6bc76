"""The work that all contenders share: weights, prompts, rows, precision, and who is right."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from omegaconf import DictConfig

from ..algos import Algorithm
from ..checks import ConfigError, positive_int
from ..config import build_algorithm, construct
from ..data.encoding import Encoder
from ..hardware import trainer_options
from ..models import Policy
from ..seeding import derive, torch_rng
from ..types import Problem, Prompt, Scores


class Coin:
    """A reward that costs nothing: each completion is right or wrong by a draw that its place names."""

    def __call__(self, problems: Sequence[Problem], completions: Sequence[str]) -> Scores:
        draws = [derive("bench", "coin", row, p.id) % 2 == 0 for row, p in enumerate(problems)]
        correct = torch.tensor(draws, dtype=torch.bool, device="cpu")
        return Scores(correct.float(), correct)

    def first_box(self) -> Coin:
        return self


@dataclass
class Workload:
    """One case's settings on the weights and prompts of all cases.

    Attributes:
        cfg: The composed config, with the case's overrides.
        policy: The weights.
        prompts: P of them.
        algorithm: Sampler, loss, estimator and sizes; one rollout of all prompts.
        device: Of the weights.
        rows: Of the sampling cases, B.
    """

    cfg: DictConfig
    policy: Policy
    prompts: Sequence[Prompt]
    algorithm: Algorithm
    device: torch.device
    rows: int

    @property
    def which(self) -> list[int]:
        """The prompt of each row; a prompt's group stands together."""
        group = self.algorithm.num_generations
        return [row // group % len(self.prompts) for row in range(self.rows)]

    @property
    def columns(self) -> int:
        """Columns of the widest canvas, L."""
        return max(len(prompt.ids) for prompt in self.prompts) + self.algorithm.sampler.length

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype that matrix products run in."""
        if torch.is_autocast_enabled(self.device.type):
            return torch.get_autocast_dtype(self.device.type)
        return self.policy.network.lm_head.weight.dtype

    def precision(self) -> AbstractContextManager[Any]:
        """The context in which a run computes: Lightning's, for ``hardware.precision``."""
        return trainer_of(self.cfg).precision_plugin.forward_context()


def trainer_of(cfg: DictConfig, **options: Any) -> L.Trainer:
    """A Lightning Trainer of ``cfg.hardware`` that says and writes nothing."""
    quiet = {
        name: False
        for name in ("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar")
    }
    return L.Trainer(**trainer_options(cfg.hardware), **quiet, **options)


def algorithm_of(cfg: DictConfig, prompts: int) -> Algorithm:
    """The algorithm of ``cfg`` for one rollout of ``prompts`` prompts, judged by a :class:`Coin`.

    Raises:
        ConfigError: ``algo`` is no policy optimisation.
    """
    if "num_generations" not in cfg.algo:
        raise ConfigError("algo: it has no rollouts to measure; choose grpo or igpo")
    whole = build_algorithm(cfg, reward=Coin())
    return replace(whole, rollouts=1, epochs=None, prompts_per_rollout=prompts, validate_every=1)


def prompts_of(cfg: DictConfig, policy: Policy) -> list[Prompt]:
    """The first ``cfg.prompts`` training problems of ``cfg.data``; made-up ids where there are no words."""
    count = positive_int("prompts", cfg.prompts)
    if cfg.model.path is None or cfg.weights == "random":
        return [_made_up(policy, cfg.seed, i, cfg.prompt_length) for i in range(count)]
    problems = list(construct(cfg.data.source).train[:count])
    encode = Encoder(
        policy.tokenizer, construct(cfg.prompt), hints=False, on_mask_token="text", mask_id=policy.mask_id
    )
    prompts = list(encode.encode_all(problems).prompts)
    if len(prompts) < count:
        raise ConfigError(f"prompts={count}: data has only {len(prompts)} of them")
    return prompts


def _made_up(policy: Policy, seed: int, index: int, length: int) -> Prompt:
    special = {policy.mask_id, policy.eos_id, policy.pad_id, *policy.stop_ids}
    plain = torch.tensor(
        [i for i in range(policy.network.config.vocab_size) if i not in special],
        dtype=torch.long,
        device="cpu",
    )
    generator = torch_rng(seed, "bench", "prompt", index)
    size = (positive_int("prompt_length", length),)
    drawn = torch.randint(len(plain), size, generator=generator, dtype=torch.long, device="cpu")
    return Prompt(Problem(f"bench/{index}", "", "", ""), tuple(plain[drawn].tolist()))

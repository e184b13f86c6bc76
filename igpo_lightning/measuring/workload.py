"""The work that all contenders share: weights, prompts, rows, precision, and who is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
from ..models.casting import trained_in_float32
from ..seeding import derive, torch_rng
from ..types import Problem, Prompt, Scores
from .weights import policy_of

_SHARED = ("vocabulary", "prompts", "prompt_length", "weights", "seed", "what")


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


def workload_of(cfg: DictConfig) -> Workload:
    """The weights and prompts that all cases share, with the settings of none of them."""
    device = trainer_of(cfg).strategy.root_device
    policy = policy_of(cfg, device)
    load = _workload(cfg, policy, prompts_of(cfg, policy), device)
    if set(cfg.what) - {"sampling"}:
        trained_in_float32(policy)
        if load.algorithm.loss.needs_reference:
            policy.keep_reference(moves=load.algorithm.reference.moves)
    return load


def sharing(base: Workload, cfg: DictConfig, key: str) -> Workload:
    """The workload of ``cfg`` on the weights and prompts of ``base``.

    Raises:
        ConfigError: It changes what has to be the same for all; ``key`` is named.
    """
    if other := [name for name in _SHARED if cfg[name] != base.cfg[name]]:
        raise ConfigError(f"{key}: it changes {other[0]}, which all cases share")
    policy = base.policy if cfg.model == base.cfg.model else _around(base, cfg, key)
    return _workload(cfg, policy, base.prompts, base.device)


def _workload(cfg: DictConfig, policy: Policy, prompts: Sequence[Prompt], device: torch.device) -> Workload:
    algorithm = algorithm_of(cfg, len(prompts))
    rows = len(prompts) * algorithm.num_generations if cfg.batch is None else cfg.batch
    return Workload(cfg, policy, prompts, algorithm, device, positive_int("batch", rows))


def _around(base: Workload, cfg: DictConfig, key: str) -> Policy:
    """Another network (compiled, with other attention) around the same tensors."""
    policy, shared = policy_of(cfg, base.device), base.policy
    try:
        policy.load_state_dict(shared.state_dict(), assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(f"{key}: it changes the weights, which all cases share: {reason}") from error
    if shared.keeps_reference:
        policy.keep_reference(moves=shared.moving is not None)
    return policy


@contextmanager
def kept(policy: Policy) -> Iterator[None]:
    """After this context the policy has the weights, and no gradients, that it had before."""
    trained = {name: weight for name, weight in policy.named_parameters() if weight.requires_grad}
    before = {name: weight.detach().to("cpu", copy=True) for name, weight in trained.items()}
    device = next(policy.parameters()).device
    try:
        yield
    finally:
        policy.to(device)  # a fit leaves it on the CPU
        with torch.no_grad():
            for name, weight in policy.named_parameters():
                weight.grad = None
                if name in before:
                    weight.copy_(before[name])


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
